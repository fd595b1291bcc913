//! Asks a proxy for the way to a server (CONNECT, RFC 9110 9.3.6), and logs on
//! where it asks who we are.

use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::Uri;
use hyper::body::Body as _;
use hyper::body::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header;
use hyper::header::HeaderValue;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Failure;
use super::clock;
use super::connection::Dialer;
use super::connection::LogOns;
use super::connection::Way;
use super::fault;
use super::log_on::LogOn;
use super::log_on::Verdict;
use super::outgoing::Outgoing;
use super::proxy::ProxyEndpoint;
use crate::bits::AuthTarget;
use crate::bits::Hresult;
use crate::bits::Phase;

/// A connection to a proxy, over which it is asked.
struct Asking {
    sender: http1::SendRequest<Outgoing>,
    /// Ends by itself with the connection.
    driver: tokio::task::JoinHandle<()>,
}

impl Dialer {
    /// Makes `tcp`, a connection to the proxy of `way`, one to its server.
    ///
    /// # Errors
    ///
    /// [`Failure`]; fatal when the proxy wants other credentials.
    pub(super) async fn tunnel(&self, tcp: TcpStream, way: &Way) -> Result<TcpStream, Failure> {
        let Some(proxy) = &way.proxy else {
            return Ok(tcp);
        };
        let target = way.authority();
        let doing = format!("asking the proxy for {target}");
        let realm = (AuthTarget::Proxy, format!("{}:{}", proxy.host, proxy.port));
        let mut log_on = LogOn::new(&self.wallet, realm, &proxy.host);
        let mut asking = Asking::begin(tcp, &doing).await?;
        for _ in 0..MAX_ASKS {
            let line = LogOns::default().proxy();
            let answer = log_on.answer("CONNECT", &target, line).await?;
            let request = self.connect_request(&target, answer, &doing)?;
            let sent = asking.sender.send_request(request).await;
            let reply = sent.map_err(|error| fault::classify(&error, &doing))?;
            let status = reply.status();
            match log_on.hear(status, reply.headers(), line).await? {
                Verdict::Final { .. } if status.is_success() => {
                    return asking.finish(reply, &doing).await;
                }
                Verdict::Final { .. } => return Err(refused(&reply, &doing)),
                Verdict::Again => {}
            }
            if !asking.goes_on(reply).await {
                log_on.lost_connection();
                asking = self.ask_anew(proxy, &doing).await?;
            }
        }
        Err(refused_endlessly(&doing))
    }

    async fn ask_anew(&self, proxy: &ProxyEndpoint, doing: &str) -> Result<Asking, Failure> {
        let tcp = self.reach(&proxy.host, proxy.port).await?;
        Asking::begin(tcp, doing).await
    }

    fn connect_request(
        &self,
        target: &str,
        answer: Option<HeaderValue>,
        doing: &str,
    ) -> Result<Request<Outgoing>, Failure> {
        let wrong = || {
            Failure::transport(
                Hresult::WININET_E_NAME_NOT_RESOLVED,
                format!("{doing}: no host has this name"),
            )
        };
        let mut request = Request::new(Outgoing::Empty);
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = target.parse::<Uri>().map_err(|_| wrong())?;
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(target).map_err(|_| wrong())?;
        headers.insert(header::HOST, host);
        if let Ok(agent) = HeaderValue::from_str(&self.user_agent) {
            headers.insert(header::USER_AGENT, agent);
        }
        if let Some(answer) = answer {
            headers.insert(header::PROXY_AUTHORIZATION, answer);
            // Proxies of HTTP/1.0 know no other word for it.
            let keep = HeaderValue::from_static("keep-alive");
            headers.insert("proxy-connection", keep);
        }
        Ok(request)
    }
}

impl Asking {
    async fn begin(tcp: TcpStream, doing: &str) -> Result<Self, Failure> {
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .max_header_size(MAX_HEAD)
            .handshake(TokioIo::new(tcp))
            .await
            .map_err(|error| fault::classify(&error, doing))?;
        let driver = tokio::spawn(async move {
            // How it ends is seen by who waits for the answer.
            let _ = driver.with_upgrades().await;
        });
        Ok(Self { sender, driver })
    }

    /// Reads the body that nobody wants; holds when the proxy can be asked again.
    async fn goes_on(&mut self, mut reply: Response<Incoming>) -> bool {
        let mut octets = 0;
        while let Some(piece) = next(reply.body_mut()).await {
            let Ok(piece) = piece else {
                return false;
            };
            octets += piece;
            if octets > MAX_BODY {
                return false;
            }
        }
        self.sender.ready().await.is_ok()
    }

    /// The connection, from which nothing was read beyond the answer.
    async fn finish(self, reply: Response<Incoming>, doing: &str) -> Result<TcpStream, Failure> {
        let upgraded: Upgraded = hyper::upgrade::on(reply)
            .await
            .map_err(|error| fault::classify(&error, doing))?;
        let parts = upgraded.downcast::<TokioIo<TcpStream>>();
        match parts {
            // A server that speaks first is none of TLS.
            Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
            Ok(_) | Err(_) => Err(Failure::transport(
                Hresult::WININET_E_INVALID_SERVER_RESPONSE,
                format!("{doing}: the proxy says more than it was asked"),
            )),
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // Once it was upgraded it has ended by itself.
        self.driver.abort();
    }
}

/// Octets of the next piece of a body; none at its end.
async fn next(body: &mut Incoming) -> Option<hyper::Result<usize>> {
    let frame = std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context));
    let frame = frame.await?;
    Some(frame.map(|frame| frame.data_ref().map_or(0, Bytes::len)))
}

fn refused(reply: &Response<Incoming>, doing: &str) -> Failure {
    let status: StatusCode = reply.status();
    fault::from_status(status.as_u16(), None, clock::date(), doing).at(Phase::Connecting)
}

fn refused_endlessly(doing: &str) -> Failure {
    fault::from_status(407, None, clock::date(), doing).at(Phase::Connecting)
}

/// Octets of the head of an answer.
const MAX_HEAD: usize = 128 * 1_024;

/// Octets of a body that is read only to keep the connection.
const MAX_BODY: usize = 64 * 1_024;

/// How often the proxy is asked.
const MAX_ASKS: usize = 12;

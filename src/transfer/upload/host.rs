//! `BITS-Host-Id`: the session lives on another host than the URL names.
//!
//! That host is reached by the scheme of the URL and inside the same fence. Its
//! name comes from a server: it is sent neither credentials nor a client
//! certificate. Where it asks for a log-on, the upload stays with the host of the
//! URL.

use std::time::Duration;

use url::Url;

use super::Uploading;
use crate::bits::ErrorContext;
use crate::bits::Hresult;
use crate::bits::Timestamp;
use crate::transfer::Failure;
use crate::transfer::FailureKind;
use crate::transfer::clock;
use crate::transfer::upload_packet::HostId;

impl Uploading<'_> {
    /// Goes to the host that the server names, if it is one.
    pub(super) fn move_to(&mut self, named: HostId, now: Timestamp) {
        if at_host(&self.url, &named.host).is_none() {
            return;
        }
        let after = named.fall_back_after_s;
        self.upload.fall_back_at = after.map(|seconds| {
            let seconds = Duration::from_secs(seconds);
            now + seconds.min(LONGEST_FALL_BACK)
        });
        self.upload.host = Some(named.host);
    }

    /// The URL at the host that has the session.
    pub(super) fn host_url(&self) -> Url {
        let named = self.upload.host.as_deref();
        named
            .and_then(|host| at_host(&self.url, host))
            .unwrap_or_else(|| self.url.clone())
    }

    /// May the host of the URL be asked, now that the way to the other failed?
    pub(super) fn may_fall_back(&self, failure: &Failure) -> bool {
        let failed = failure.context == ErrorContext::GeneralTransport
            && failure.kind != FailureKind::Stopped;
        let now: Timestamp = clock::date().into();
        self.upload.host.is_some() && failed && self.upload.fall_back_at.is_some_and(|at| now >= at)
    }

    /// Does a host that only a server names ask who the job is?
    pub(super) fn wants_log_on(&self, refusal: &Failure) -> bool {
        let is_elsewhere = self.host_url().origin() != self.url.origin();
        is_elsewhere && refusal.code == Hresult::from_http_status(401)
    }
}

/// `url` at `host`, which is a name or an address, perhaps with a port; `None` when
/// it is something else.
pub(super) fn at_host(url: &Url, host: &str) -> Option<Url> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "/\\@?#%".contains(c);
    if host.len() > MAX_HOST || host.chars().any(is_odd) {
        return None;
    }
    // An address of IPv6 may come without its brackets.
    let bare = host.parse::<std::net::Ipv6Addr>();
    let authority = bare.map_or_else(|_| host.to_owned(), |_| format!("[{host}]"));
    let named = Url::parse(&format!("{}://{authority}/", url.scheme())).ok()?;
    let mut at = url.clone();
    at.set_host(Some(named.host_str()?)).ok()?;
    // The usual port of the scheme is none to `Url`, though it was named.
    let own_port = authority.rsplit_once(':').map(|(_, port)| port);
    if let Some(port) = own_port.and_then(|port| port.parse().ok()) {
        at.set_port(Some(port)).ok()?;
    }
    Some(at)
}

/// Octets; a name of DNS has 253, a port five.
const MAX_HOST: usize = 260;

/// Beyond it "never" says the same.
const LONGEST_FALL_BACK: Duration = Duration::from_hours(10 * 365 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_takes_the_place_of_the_host_and_of_nothing_else() {
        let url = Url::parse("https://farm.example:8443/up/a%20b?x=1").expect("a URL");
        for (host, expected) in [
            ("second", Some("https://second:8443/up/a%20b?x=1")),
            ("10.0.0.7", Some("https://10.0.0.7:8443/up/a%20b?x=1")),
            ("second:9443", Some("https://second:9443/up/a%20b?x=1")),
            ("second:443", Some("https://second/up/a%20b?x=1")),
            (
                "2001:db8::1",
                Some("https://[2001:db8::1]:8443/up/a%20b?x=1"),
            ),
            (
                "[2001:db8::1]:9",
                Some("https://[2001:db8::1]:9/up/a%20b?x=1"),
            ),
            ("user@second", None),
            ("second/other", None),
            ("second?x", None),
            ("", None),
            ("a b", None),
            ("second:99999", None),
        ] {
            let at = at_host(&url, host);
            assert_eq!(at.as_ref().map(Url::as_str), expected, "{host}");
        }
    }
}

//! Connects to the first of several addresses that answers (RFC 8305): many
//! hosts have a name of two families and a way to one of them only. Where none
//! answers one is tried a second time: the kernel waits for a second before it takes
//! the first packet of a connection for lost.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

/// Tries the addresses in order. The next one begins when the one before has
/// failed, or has not answered for a little; then the first that is still silent is
/// tried once more. The first connection that stands wins, and the others are given
/// up.
///
/// Dropping the future half-way gives all of them up.
///
/// # Errors
///
/// Of the last one that failed.
pub(super) async fn first<Stream, Attempt>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> Attempt,
) -> io::Result<Stream>
where
    Stream: Send + 'static,
    Attempt: Future<Output = io::Result<Stream>> + Send + 'static,
{
    let mut left: VecDeque<SocketAddr> = addresses.iter().copied().collect();
    let mut silent: Vec<SocketAddr> = Vec::with_capacity(addresses.len());
    let mut running = JoinSet::new();
    let mut is_second = false;
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        if let Some(address) = left.pop_front() {
            silent.push(address);
            let attempt = connect(address);
            running.spawn(async move { (address, attempt.await) });
        }
        let ended = if is_second && left.is_empty() {
            running.join_next().await
        } else {
            let Ok(ended) = tokio::time::timeout(STAGGER, running.join_next()).await else {
                if left.is_empty() {
                    is_second = true;
                    left.extend(silent.first());
                }
                continue;
            };
            ended
        };
        match ended {
            None => return Err(last),
            Some(Ok((_, Ok(stream)))) => return Ok(stream),
            Some(Ok((address, Err(error)))) => {
                silent.retain(|one| *one != address);
                last = error;
            }
            Some(Err(error)) => last = io::Error::other(error),
        }
    }
}

/// "Connection Attempt Delay" (RFC 8305 8).
const STAGGER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    fn addresses(count: u8) -> Vec<SocketAddr> {
        (1..=count)
            .map(|last| SocketAddr::from(([192, 0, 2, last], 80)))
            .collect()
    }

    /// The last octet that won, and which began after how many milliseconds.
    async fn race(count: u8, script: &'static [(u64, bool)]) -> (io::Result<u8>, Vec<(u8, u128)>) {
        let began: Arc<Mutex<Vec<(u8, u128)>>> = Arc::default();
        let start = Instant::now();
        let won = first(&addresses(count), |address| {
            let SocketAddr::V4(address) = address else {
                unreachable!("all are")
            };
            let number = address.ip().octets()[3];
            let list = Arc::clone(&began);
            async move {
                list.lock()
                    .expect("lock")
                    .push((number, start.elapsed().as_millis()));
                let (after, stands) = script[usize::from(number) - 1];
                tokio::time::sleep(Duration::from_millis(after)).await;
                if stands {
                    Ok(number)
                } else {
                    Err(io::ErrorKind::ConnectionRefused.into())
                }
            }
        })
        .await;
        let began = began.lock().expect("lock").clone();
        (won, began)
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_is_silent_holds_nobody_up() {
        let (won, began) = race(2, &[(60_000, true), (10, true)]).await;
        assert_eq!(won.expect("the second"), 2);
        assert_eq!(began, [(1, 0), (2, 250)]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_only_address_that_is_silent_is_tried_once_more() {
        let began: Arc<Mutex<Vec<u128>>> = Arc::default();
        let start = Instant::now();
        let only = addresses(1);
        let won = first(&only, |_| {
            let list = Arc::clone(&began);
            async move {
                let number = {
                    let mut list = list.lock().expect("lock");
                    list.push(start.elapsed().as_millis());
                    list.len()
                };
                let lost = Duration::from_secs(u64::from(number == 1));
                tokio::time::sleep(lost + Duration::from_millis(20)).await;
                Ok(number)
            }
        });
        assert_eq!(won.await.expect("the second"), 2);
        assert_eq!(start.elapsed().as_millis(), 270);
        assert_eq!(*began.lock().expect("lock"), [0, 250]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_only_address_that_refuses_is_tried_once() {
        let (won, began) = race(1, &[(10, false)]).await;
        assert!(won.is_err());
        assert_eq!(began, [(1, 0)]);
        let (won, began) = race(2, &[(10, false), (600, true)]).await;
        assert_eq!(won.expect("the second"), 2);
        assert_eq!(began, [(1, 0), (2, 10), (2, 260)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_answers_in_time_is_the_only_one_tried() {
        let (won, began) = race(3, &[(100, true), (0, true), (0, true)]).await;
        assert_eq!(won.expect("the first"), 1);
        assert_eq!(began, [(1, 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_brings_the_next_one_at_once() {
        let (won, began) = race(3, &[(10, false), (10, false), (10, true)]).await;
        assert_eq!(won.expect("the third"), 3);
        assert_eq!(began, [(1, 0), (2, 10), (3, 20)]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_refuse_the_race_is_over() {
        let (won, began) = race(2, &[(300, false), (10, false)]).await;
        assert_eq!(
            won.expect_err("nobody").kind(),
            io::ErrorKind::ConnectionRefused
        );
        assert_eq!(began.len(), 2);
        assert!(race(0, &[]).await.0.is_err());
    }
}

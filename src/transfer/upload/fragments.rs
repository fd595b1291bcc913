//! The fragments of an upload: from the server's offset to the end of the file
//! ([MC-BUP] 3.1.4.4).

use std::time::Duration;

use hyper::StatusCode;

use super::Broken;
use super::Said;
use super::TELL_TIME;
use super::Uploading;
use super::no_ack;
use crate::bits::ErrorContext;
use crate::bits::FileReport;
use crate::bits::Hresult;
use crate::transfer::Failure;
use crate::transfer::clock;
use crate::transfer::upload_packet::Ack;
use crate::transfer::upload_packet::FragmentRange;
use crate::transfer::upload_packet::Packet;
use crate::transfer::upload_packet::SessionId;

/// How big the next fragment is: bigger while they go quickly, smaller when the
/// server wants it.
#[derive(Debug)]
struct Size {
    octets: u64,
    most: u64,
}

impl Size {
    fn new(most: u64) -> Self {
        Self {
            octets: FIRST_FRAGMENT.min(most),
            most,
        }
    }

    /// A fragment went in so long.
    fn took(&mut self, time: Duration) {
        if time < QUICK {
            self.octets = (self.octets * 2).min(self.most);
        } else if time > SLOW {
            self.octets = (self.octets / 2).max(LEAST_FRAGMENT.min(self.most));
        }
    }

    /// The server wants smaller ones than this (413); holds when there are.
    fn halve(&mut self, sent: u64) -> bool {
        if sent <= LEAST_FRAGMENT {
            return false;
        }
        self.octets = (sent / 2).max(LEAST_FRAGMENT);
        self.most = self.octets;
        true
    }
}

impl Uploading<'_> {
    /// Sends what the server does not have yet.
    pub(super) async fn send_fragments(&mut self, id: &SessionId) -> Result<(), Broken> {
        let total = self.source.stamp.size;
        let mut size = Size::new(self.session.most_fragment());
        let mut standstill = 0;
        let mut furthest = self.confirmed;
        let mut was_repeated = false;
        // An empty file has a fragment too, and the one that brings the address of
        // the reply is asked for it again.
        let mut is_owed = total == 0 || self.lacks_reply();
        while self.confirmed < total || is_owed {
            self.check_source()?;
            let left = total - self.confirmed;
            let length = if left == 0 { total } else { left }.min(size.octets);
            let range = FragmentRange {
                first: if left == 0 {
                    total - length
                } else {
                    self.confirmed
                },
                length,
                total,
            };
            let packet = Packet::Fragment {
                session: id.clone(),
                range,
            };
            let begun_at = clock::instant();
            let body = self.shown_part(range.first, length);
            let said = self.send(&packet, body).await?;
            if said.status == StatusCode::PAYLOAD_TOO_LARGE && size.halve(length) {
                continue;
            }
            let ack = self.check_fragment(said)?;
            self.check_source()?;
            let next = ack.next_octet.unwrap_or(range.end());
            if next > total {
                return Err(self.lies("more octets than the file has").into());
            }
            // Who goes back and forth stands still, too.
            standstill = if next > furthest {
                furthest = next;
                0
            } else {
                standstill + 1
            };
            if standstill > MAX_STANDSTILL {
                return Err(self.lies("the same octets again and again").into());
            }
            size.took(clock::instant() - begun_at);
            self.confirm(next).await?;
            if next < total {
                continue;
            }
            is_owed = false;
            if self.lacks_reply() {
                self.take_reply_url(&ack).await?;
                // It had more than we knew: only what answers the last fragment
                // says where the reply is.
                is_owed = self.lacks_reply();
                if is_owed && (was_repeated || next == range.end()) {
                    return Err(self.no_reply_url().into());
                }
                was_repeated = true;
            }
        }
        self.tell_confirmed().await?;
        Ok(())
    }

    /// The Ack of a fragment that the server took, or to which it says what it has
    /// instead (416).
    fn check_fragment(&self, said: Said) -> Result<Ack, Broken> {
        let has_other = said.status == StatusCode::RANGE_NOT_SATISFIABLE
            && said
                .ack
                .as_ref()
                .is_some_and(|ack| ack.error.is_none() && ack.next_octet.is_some());
        match (said.refusal, said.ack) {
            (Some(refusal), _) if !has_other => Err(self.lost_or(refusal)),
            (_, Some(ack)) => Ok(ack),
            (_, None) => Err(no_ack(&format!("sending to {}", self.shown())).into()),
        }
    }

    async fn confirm(&mut self, next: u64) -> Result<(), Failure> {
        self.confirmed = next;
        self.order
            .written
            .store(next, std::sync::atomic::Ordering::Relaxed);
        let settings = self.session.transfer_settings();
        let is_much = next.abs_diff(self.told) >= settings.checkpoint_octets;
        if is_much || clock::instant() - self.told_at >= TELL_TIME || next < self.told {
            self.tell_confirmed().await?;
        }
        Ok(())
    }

    async fn tell_confirmed(&mut self) -> Result<(), Failure> {
        if self.told == self.confirmed {
            return Ok(());
        }
        self.told = self.confirmed;
        self.told_at = clock::instant();
        self.report(FileReport::Durable(self.confirmed)).await
    }

    fn lies(&self, what: &str) -> Failure {
        Failure::for_now(
            ErrorContext::RemoteFile,
            Hresult::BG_E_INVALID_SERVER_RESPONSE,
            format!("sending to {}: the server wants {what}", self.shown()),
        )
    }
}

/// Octets of the first fragment of a run.
const FIRST_FRAGMENT: u64 = 1_024 * 1_024;

/// "Fragment sizes" of Windows, octets.
const LEAST_FRAGMENT: u64 = 5 * 1_024;

const QUICK: Duration = Duration::from_secs(2);

const SLOW: Duration = Duration::from_secs(20);

/// Acks without an octet more.
const MAX_STANDSTILL: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_grow_while_they_go_quickly_and_shrink_for_the_server() {
        let mut size = Size::new(13 << 20);
        for _ in 0..10 {
            size.took(Duration::from_millis(10));
        }
        assert_eq!(size.octets, 13 << 20);
        size.took(Duration::from_secs(30));
        assert_eq!(size.octets, 13 << 19);
        assert!(size.halve(1 << 20));
        size.took(Duration::from_millis(10));
        assert_eq!(size.octets, 1 << 19, "no more than the server wants");
        assert!(size.halve(6_000));
        assert_eq!(size.octets, LEAST_FRAGMENT);
        assert!(!size.halve(LEAST_FRAGMENT));
        assert_eq!(Size::new(6_000).octets, 6_000);
    }
}

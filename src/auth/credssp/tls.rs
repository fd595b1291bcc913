//! The TLS connection within the tokens: records come in and go out as octets
//! of a header or a body, nothing is read from a socket.

use std::io::Read as _;
use std::io::Write as _;
use std::sync::Arc;

use rustls::ProtocolVersion;
use rustls::ServerConnection;

use super::certificate::Shown;
use crate::auth::Parts;
use crate::auth::Seal;
use crate::auth::SealError;
use crate::auth::Sealed;
use crate::auth::Within;
use crate::mechanism::SecurityContext;

/// Our end of it.
pub(super) struct InnerTls {
    connection: ServerConnection,
    shown: Arc<Shown>,
    /// Nothing is taken or sent any more.
    is_over: bool,
}

/// The peer's records are not those of a connection that goes well.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the TLS connection within the tokens has failed")]
pub(super) struct InnerTlsError;

impl InnerTls {
    /// Waits for a client, to which it will show `shown`.
    ///
    /// # Errors
    ///
    /// [`InnerTlsError`] where rustls cannot work with its settings.
    pub(super) fn new(shown: Arc<Shown>) -> Result<Self, InnerTlsError> {
        let connection = ServerConnection::new(Arc::clone(&shown.config));
        Ok(Self {
            connection: connection.map_err(|_| InnerTlsError)?,
            shown,
            is_over: false,
        })
    }

    /// The key that the client has seen: the content of the bit string
    /// `subjectPublicKey` (RFC 5280 4.1.2.7).
    pub(super) fn public_key(&self) -> &[u8] {
        &self.shown.public_key
    }

    /// Takes records, which must be whole, and gives what they hold for us:
    /// nothing as long as they are those of the handshake. After it each must
    /// hold something, so there are no alerts, no renegotiation and no new keys.
    ///
    /// # Errors
    ///
    /// [`InnerTlsError`], now and from then on.
    pub(super) fn take(&mut self, records: &[u8]) -> Result<Vec<u8>, InnerTlsError> {
        if self.is_over || records.is_empty() {
            return Err(InnerTlsError);
        }
        let taken = self.take_each(records);
        self.is_over = taken.is_err();
        taken
    }

    fn take_each(&mut self, records: &[u8]) -> Result<Vec<u8>, InnerTlsError> {
        let (mut plain, mut rest) = (Vec::new(), records);
        while !rest.is_empty() {
            let (record, behind) = split_record(rest).ok_or(InnerTlsError)?;
            self.take_one(record, &mut plain)?;
            rest = behind;
        }
        Ok(plain)
    }

    fn take_one(&mut self, record: &[u8], plain: &mut Vec<u8>) -> Result<(), InnerTlsError> {
        let is_data = !self.connection.is_handshaking();
        if is_data && record[0] != APPLICATION_DATA {
            return Err(InnerTlsError);
        }
        let mut unread = record;
        while !unread.is_empty() {
            match self.connection.read_tls(&mut unread) {
                Ok(0) | Err(_) => return Err(InnerTlsError),
                Ok(_) => {}
            }
        }
        let state = self.connection.process_new_packets();
        let state = state.map_err(|_| InnerTlsError)?;
        let (begin, octets) = (plain.len(), state.plaintext_bytes_to_read());
        if state.peer_has_closed() || (is_data && octets == 0) {
            return Err(InnerTlsError);
        }
        plain.resize(begin + octets, 0);
        let read = self.connection.reader().read_exact(&mut plain[begin..]);
        read.map_err(|_| InnerTlsError)
    }

    /// Protects `plain`; gives the records, behind those that wait to be sent.
    ///
    /// # Errors
    ///
    /// [`InnerTlsError`] when the connection has failed, or is not there yet.
    pub(super) fn send(&mut self, plain: &[u8]) -> Result<Vec<u8>, InnerTlsError> {
        if self.is_over || self.connection.is_handshaking() {
            return Err(InnerTlsError);
        }
        let mut records = self.waiting();
        for piece in plain.chunks(MAX_FRAGMENT) {
            let written = self.connection.writer().write_all(piece);
            written.map_err(|_| InnerTlsError)?;
            records.append(&mut self.waiting());
        }
        Ok(records)
    }

    /// The records that wait to be sent: those of the handshake, or an alert.
    pub(super) fn waiting(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.connection.wants_write() {
            let written = self.connection.write_tls(&mut records);
            written.expect("a vector takes what is written to it");
        }
        records
    }

    /// What stands behind the text in a record: the tag of an AEAD, and before
    /// it, in TLS 1.3, the type of the text.
    fn trailer(&self) -> u32 {
        match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => 17,
            Some(_) | None => 16,
        }
    }
}

/// What protects the messages after the log-on: the same connection.
pub(super) struct Sealing {
    pub(super) tls: InnerTls,
    /// Of the log-on within.
    pub(super) mechanism: Option<Within>,
}

impl Seal for Sealing {
    fn mechanism(&self) -> Option<Within> {
        self.mechanism
    }

    fn seal(&mut self, plain: &[u8]) -> Result<Sealed, SealError> {
        // No octets are no record, which nobody could open.
        if plain.is_empty() {
            return Err(SealError);
        }
        let octets = self.tls.send(plain).map_err(|_| SealError)?;
        Ok(Sealed {
            signature: self.tls.trailer(),
            octets,
        })
    }

    fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, SealError> {
        self.tls.take(message).map_err(|_| SealError)
    }

    fn parts(&self) -> Parts {
        Parts::Pieces
    }
}

/// Nothing negotiates `CredSSP` within another exchange.
impl SecurityContext for Sealing {
    fn sign(&mut self, _data: &[u8]) -> Result<Vec<u8>, SealError> {
        Err(SealError)
    }

    fn verify(&mut self, _data: &[u8], _signature: &[u8]) -> Result<(), SealError> {
        Err(SealError)
    }
}

/// The first record, and what is behind it (RFC 8446 5.1): type, version,
/// length, and as much as that says.
fn split_record(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let header = octets.first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
    (length <= MAX_CIPHERTEXT)
        .then(|| octets.split_at_checked(HEADER + length))
        .flatten()
}

/// Octets before the fragment of a record.
const HEADER: usize = 5;

/// The type of records with anything but handshake and alerts.
const APPLICATION_DATA: u8 = 23;

/// Octets of plaintext in a record.
const MAX_FRAGMENT: usize = 1 << 14;

/// Octets behind the header of a record (RFC 5246 6.2.3).
const MAX_CIPHERTEXT: usize = (1 << 14) + 2_048;

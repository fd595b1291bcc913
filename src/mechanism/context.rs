//! What both sides of a log-on have when it is over: keys that protect messages.

/// What protects the messages of a connection after log-on: the security
/// context's own encryption, in the framing of `multipart/encrypted`.
pub(crate) trait Seal: Send {
    /// Protects `plain`.
    ///
    /// # Errors
    ///
    /// [`SealError`]: the context is of no more use.
    fn seal(&mut self, plain: &[u8]) -> Result<Sealed, SealError>;

    /// Takes the protection off what stands behind the length of the signature,
    /// and checks it.
    ///
    /// # Errors
    ///
    /// [`SealError`]: the context is of no more use.
    fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, SealError>;

    /// How messages are put into the parts of a body.
    fn parts(&self) -> Parts;

    /// The mechanism behind a scheme that has several.
    fn mechanism(&self) -> Option<Within> {
        None
    }
}

/// The mechanisms that stand behind a scheme that has several.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Within {
    /// Kerberos.
    Kerberos,
    /// `NTLM`.
    Ntlm,
}

/// How messages are put into the parts of a body ([MS-WSMV] 2.2.9.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Parts {
    /// `HTTP-SPNEGO-session-encrypted` or `HTTP-Kerberos-session-encrypted`:
    /// whole.
    Whole,
    /// `HTTP-CredSSP-session-encrypted`: in pieces of 16 KiB.
    Pieces,
}

/// A protected message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Sealed {
    /// Octets of it that are the signature or header of the mechanism, or, for
    /// `CredSSP`, its trailer.
    pub(crate) signature: u32,
    /// Signature and encrypted message.
    pub(crate) octets: Vec<u8>,
}

/// A message was not protected by the peer's context.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the message is not sealed by this connection's security context")]
pub(crate) struct SealError;

/// Keys that both sides of an exchange have.
pub(crate) trait SecurityContext: Seal {
    /// Signs what was negotiated (`mechListMIC`, RFC 4178 5). It does not count
    /// among the messages that follow.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Checks the client's signature of the same.
    ///
    /// # Errors
    ///
    /// [`SealError`]: it is wrong.
    fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<(), SealError>;

    /// Holds when only who has the keys can make a signature.
    fn signs_by_key(&self) -> bool {
        true
    }
}

//! What the two sides ask of each other ([MS-NLMP] 2.2.2.5).

use std::ops::BitOr;

/// `NegotiateFlags`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Flags(pub(super) u32);

impl Flags {
    /// Names are in UTF-16.
    pub(super) const UNICODE: Self = Self(0x0000_0001);
    /// The client wants to know the server's name.
    pub(super) const REQUEST_TARGET: Self = Self(0x0000_0004);
    /// Messages can be signed.
    pub(super) const SIGN: Self = Self(0x0000_0010);
    /// Messages can be sealed.
    pub(super) const SEAL: Self = Self(0x0000_0020);
    /// `NTLM` at all.
    pub(super) const NTLM: Self = Self(0x0000_0200);
    /// There is neither user nor password.
    pub(super) const ANONYMOUS: Self = Self(0x0000_0800);
    /// There is a signature in any case, if only one that says nothing.
    pub(super) const ALWAYS_SIGN: Self = Self(0x0000_8000);
    /// The target name is that of a server.
    pub(super) const TARGET_TYPE_SERVER: Self = Self(0x0002_0000);
    /// Signatures and keys of each direction by themselves.
    pub(super) const EXTENDED_SESSION_SECURITY: Self = Self(0x0008_0000);
    /// The challenge has AV pairs.
    pub(super) const TARGET_INFO: Self = Self(0x0080_0000);
    /// Messages have a version.
    pub(super) const VERSION: Self = Self(0x0200_0000);
    /// Keys of 128 bit.
    pub(super) const KEY_128: Self = Self(0x2000_0000);
    /// The client sends the session key, encrypted.
    pub(super) const KEY_EXCHANGE: Self = Self(0x4000_0000);
    /// Keys of 56 bit.
    pub(super) const KEY_56: Self = Self(0x8000_0000);

    /// Holds when all of `wanted` are set.
    pub(super) fn has(self, wanted: Self) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Those that are set in both.
    pub(super) fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Holds when a session key is exchanged: where nothing is signed or
    /// sealed, nothing is (3.2.5.1.2).
    pub(super) fn exchanges_key(self) -> bool {
        self.has(Self::KEY_EXCHANGE) && (self.has(Self::SIGN) || self.has(Self::SEAL))
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

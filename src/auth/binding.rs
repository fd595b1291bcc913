//! Is a log-on bound well enough to the TLS connection that it came over?

use super::AuthError;
use super::Channel;
use crate::config::ChannelBindingLevel;
use crate::mechanism::Named;

/// How a log-on is tied to its connection, for the audit log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Bound {
    /// The client named this TLS connection.
    Yes,
    /// It named none, and need not.
    No,
    /// There is nothing to bind, or the mechanism does not.
    NotApplicable,
}

/// Says whether a log-on over `channel`, for which the client has `named`
/// something, is bound well enough.
///
/// # Errors
///
/// [`AuthError::Unbound`] and [`AuthError::WrongBinding`].
pub(super) fn judge(
    level: ChannelBindingLevel,
    channel: &Channel,
    named: Named,
) -> Result<Bound, AuthError> {
    if *channel == Channel::Plain {
        return Ok(Bound::NotApplicable);
    }
    match (level, named) {
        (_, Named::This) => Ok(Bound::Yes),
        (ChannelBindingLevel::None, Named::Nothing | Named::Other)
        | (ChannelBindingLevel::Relaxed, Named::Nothing) => Ok(Bound::No),
        (ChannelBindingLevel::Strict, Named::Nothing) => Err(AuthError::Unbound),
        (ChannelBindingLevel::Relaxed | ChannelBindingLevel::Strict, Named::Other) => {
            Err(AuthError::WrongBinding)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mechanism::ChannelBinding;

    #[test]
    fn the_level_decides_what_is_bound_well_enough() {
        use ChannelBindingLevel as Level;
        let tls = Channel::Tls(ChannelBinding::of_end_point(b""));
        for (level, named, judged) in [
            (Level::Strict, Named::This, Ok(Bound::Yes)),
            (Level::Strict, Named::Nothing, Err(AuthError::Unbound)),
            (Level::Strict, Named::Other, Err(AuthError::WrongBinding)),
            (Level::Relaxed, Named::This, Ok(Bound::Yes)),
            (Level::Relaxed, Named::Nothing, Ok(Bound::No)),
            (Level::Relaxed, Named::Other, Err(AuthError::WrongBinding)),
            (Level::None, Named::This, Ok(Bound::Yes)),
            (Level::None, Named::Nothing, Ok(Bound::No)),
            (Level::None, Named::Other, Ok(Bound::No)),
        ] {
            assert_eq!(judge(level, &tls, named), judged, "{level:?} {named:?}");
            let plain = judge(level, &Channel::Plain, named);
            assert_eq!(plain, Ok(Bound::NotApplicable));
        }
    }
}

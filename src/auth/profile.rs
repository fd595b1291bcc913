//! The security profiles in force (DSP0226 12, [MS-WSMV] 3.1.4.1.23).

use super::certificate;
use crate::config::AccessSettings;

/// The URIs of the profiles by which clients can log on under `access`: all
/// over TLS, since nothing is served without.
pub(crate) fn security_profiles(access: &AccessSettings) -> impl Iterator<Item = &'static str> {
    let basic = access.basic.then_some(HTTPS_BASIC);
    let certificate = certificate::is_in_force(access).then_some(certificate::SCHEME);
    basic.into_iter().chain(certificate)
}

const HTTPS_BASIC: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/basic";

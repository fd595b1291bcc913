//! The security profiles in force (DSP0226 12, [MS-WSMV] 3.1.4.1.23).

use super::Door;
use super::certificate;
use crate::config::AccessSettings;
use crate::config::Settings;

/// What a client can log on by, as the URIs of the profiles name it: a way to
/// log on and a transport. `negotiates` says whether the tokens of Kerberos or
/// `NTLM` log anybody on.
pub(crate) fn security_profiles(settings: &Settings, negotiates: bool) -> Vec<&'static str> {
    let (service, access) = (&settings.service, &settings.access);
    let (https, http) = (!service.listen.is_empty(), !service.listen_http.is_empty());
    let is_clear = http && access.allow_unencrypted;
    let all = [
        (https && access.basic, HTTPS_BASIC),
        (is_clear && access.basic, HTTP_BASIC),
        (https && negotiates, HTTPS_NEGOTIATE),
        (http && negotiates, HTTP_NEGOTIATE),
        (
            https && certificate::is_in_force(access),
            certificate::SCHEME,
        ),
    ];
    let in_force = all.into_iter().filter(|(is_in_force, _)| *is_in_force);
    in_force.map(|(_, profile)| profile).collect()
}

impl Door {
    /// Holds while the tokens of Kerberos or `NTLM` log somebody on.
    pub(crate) fn negotiates(&self) -> bool {
        self.takes("Negotiate") || self.takes("Kerberos")
    }

    /// Holds when somebody could log on under `access`, as far as libraries,
    /// keys and accounts are there for it.
    pub(crate) fn lets_somebody_in(&self, access: &AccessSettings) -> bool {
        self.schemes_under(access).any(|scheme| {
            scheme != certificate::SCHEME
                || access.certificate_mappings.iter().any(|one| one.enabled)
        })
    }
}

const HTTPS_BASIC: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/basic";
const HTTP_BASIC: &str = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/http/basic";
const HTTPS_NEGOTIATE: &str =
    "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/spnego-kerberos";
const HTTP_NEGOTIATE: &str =
    "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/http/spnego-kerberos";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_go_with_listeners_and_ways_to_log_on() {
        let mut settings = Settings::default();
        assert_eq!(security_profiles(&settings, false), [HTTPS_BASIC]);
        let both = [HTTPS_BASIC, HTTPS_NEGOTIATE];
        assert_eq!(security_profiles(&settings, true), both);
        settings.service.listen_http = vec!["127.0.0.1:5985".parse().expect("an address")];
        settings.access.basic = false;
        let both = [HTTPS_NEGOTIATE, HTTP_NEGOTIATE];
        assert_eq!(security_profiles(&settings, true), both);
        settings.service.listen.clear();
        settings.access.basic = true;
        assert_eq!(security_profiles(&settings, true), [HTTP_NEGOTIATE]);
        settings.access.allow_unencrypted = true;
        let both = [HTTP_BASIC, HTTP_NEGOTIATE];
        assert_eq!(security_profiles(&settings, true), both);
    }
}

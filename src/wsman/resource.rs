//! Resource URIs and the classes behind them ([MS-WSMV] 2.2.4.33, DSP0227 7).

use super::error::Error;

/// Which family of URIs a client speaks; answers are in the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// `…/wbem/wsman/1/wmi/<namespace>/<Class>`.
    Wmi,
    /// `…/wbem/wscim/1/cim-schema/2/<Class>`, the namespace in the selector
    /// `__cimnamespace`.
    Dmtf,
}

/// What a resource URI leads to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Resource {
    /// A class, or all classes of a namespace.
    Class(ResourceUri),
    /// The classes themselves: `…/wbem/cim-xml/2/cim-schema/2/*`.
    Schema,
    /// `winrm/config`, or the part of it with this path, in lower case and
    /// without slashes around it: empty, `listener`, `service/auth`.
    Config(String),
    /// `…/windows/shell` and what lies below it.
    Shell,
}

impl Resource {
    /// Takes `text` apart, as [`ResourceUri::parse`] does.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchResource`] for a URI of another family.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        // Nearly all requests are for a class.
        let refused = match ResourceUri::parse(text) {
            Ok(uri) => return Ok(Self::Class(uri)),
            Err(refused) => refused,
        };
        let path = normal(text.trim());
        if path.eq_ignore_ascii_case(SCHEMA) {
            return Ok(Self::Schema);
        }
        for prefix in [CONFIG, CONFIG_ALIAS] {
            if let Some(part) = below(&path, prefix) {
                return Ok(Self::Config(part.to_ascii_lowercase()));
            }
        }
        if below(&path, SHELL).is_some() {
            return Ok(Self::Shell);
        }
        Err(refused)
    }
}

/// A resource URI of classes taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ResourceUri {
    /// Its family.
    pub(super) form: Form,
    /// Without slashes around it; empty in the DMTF form.
    pub(super) namespace: String,
    /// The class as the client wrote it; `*` for all classes.
    pub(super) class: String,
}

impl ResourceUri {
    /// Takes `text` apart: any case, `\` for `/`, doubled or trailing slashes
    /// and percent-encoding make no difference. The alias `wmi/`, which clients
    /// resolve themselves, is understood too.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchResource`] for a URI of another family.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let path = normal(text.trim());
        let unknown = || Error::NoSuchResource(super::error::shorten(text));
        for prefix in [WMI_PREFIX, WMI_ALIAS] {
            if let Some(rest) = strip_prefix(&path, prefix) {
                let (namespace, class) = rest.rsplit_once('/').ok_or_else(unknown)?;
                if namespace.is_empty() || class.is_empty() {
                    return Err(unknown());
                }
                return Ok(Self {
                    form: Form::Wmi,
                    namespace: namespace.to_owned(),
                    class: class.to_owned(),
                });
            }
        }
        let class = strip_prefix(&path, DMTF_PREFIX)
            .or_else(|| path.eq_ignore_ascii_case(DMTF_ALL).then_some("*"))
            .filter(|class| !class.is_empty() && !class.contains('/'))
            .ok_or_else(unknown)?;
        Ok(Self {
            form: Form::Dmtf,
            namespace: String::new(),
            class: class.to_owned(),
        })
    }

    /// It means every class.
    pub(super) fn is_all_classes(&self) -> bool {
        self.class == "*"
    }
}

/// What stands before the name of a class of `namespace` in this form.
pub(super) fn base(form: Form, namespace: &str) -> String {
    match form {
        Form::Wmi => format!("http://schemas.microsoft.com/wbem/wsman/1/wmi/{namespace}/"),
        Form::Dmtf => "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/".to_owned(),
    }
}

/// A resource URI as the patterns of certificate mappings have it: written
/// out, without what makes no difference to [`Resource::parse`] but case.
pub(super) fn canonical(text: &str) -> String {
    let path = normal(text.trim());
    let aliases = [(WMI_ALIAS, WMI_PREFIX), (CONFIG_ALIAS, CONFIG)];
    let written_out = aliases.iter().find_map(|(alias, meant)| {
        let rest = strip_prefix(&path, alias)?;
        Some([meant, rest].concat())
    });
    let path = written_out.unwrap_or(path);
    match path.split_once(":/") {
        Some((scheme, rest)) => [scheme, "://", rest].concat(),
        None => path,
    }
}

/// The namespace that a selector names, in its normal form.
pub(super) fn namespace(text: &str) -> String {
    normal(text.trim()).trim_matches('/').to_owned()
}

/// Percent-encoding decoded, `/` for `\`, no doubled and no trailing slash.
fn normal(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let special = |octet| matches!(octet, b'%' | b'\\' | b'/');
        let plain = rest.bytes().position(special).unwrap_or(rest.len());
        path.push_str(&rest[..plain]);
        rest = &rest[plain..];
        let (c, length) = match rest.as_bytes() {
            [] => break,
            [b'%', high, low, ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) if high < 8 => (char::from(high * 16 + low), 3),
                _ => ('%', 1),
            },
            [octet, ..] => (char::from(*octet), 1),
        };
        rest = &rest[length..];
        let c = if c == '\\' { '/' } else { c };
        if c != '/' || !path.ends_with('/') {
            path.push(c);
        }
    }
    if path.ends_with('/') {
        path.pop();
    }
    path
}

fn hex(octet: u8) -> Option<u8> {
    char::from(octet)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn strip_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    text.get(..prefix.len())
        .filter(|head| head.eq_ignore_ascii_case(prefix))
        .and_then(|_| text.get(prefix.len()..))
}

/// What stands below `prefix` in a normal path; nothing when it is `prefix`
/// itself.
fn below<'t>(path: &'t str, prefix: &str) -> Option<&'t str> {
    let rest = strip_prefix(path, prefix)?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

/// The prefixes as [`normal`] leaves them.
const WMI_PREFIX: &str = "http:/schemas.microsoft.com/wbem/wsman/1/wmi/";
const WMI_ALIAS: &str = "wmi/";
const DMTF_PREFIX: &str = "http:/schemas.dmtf.org/wbem/wscim/1/cim-schema/2/";
const DMTF_ALL: &str = "http:/schemas.dmtf.org/wbem/wscim/1/*";
const SCHEMA: &str = "http:/schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*";
const CONFIG: &str = "http:/schemas.microsoft.com/wbem/wsman/1/config";
const CONFIG_ALIAS: &str = "winrm/config";
const SHELL: &str = "http:/schemas.microsoft.com/wbem/wsman/1/windows/shell";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> Option<(Form, String, String)> {
        let uri = ResourceUri::parse(text).ok()?;
        Some((
            uri.form,
            uri.namespace.to_ascii_lowercase(),
            uri.class.to_ascii_lowercase(),
        ))
    }

    #[test]
    fn every_way_to_write_a_class_means_the_same() {
        let wanted = Some((
            Form::Wmi,
            "root/microsoft/bits".to_owned(),
            "bitsclientjob".to_owned(),
        ));
        for text in [
            "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/microsoft/bits/BitsClientJob",
            "HTTP://schemas.Microsoft.com/wbem/wsman/1/WMI/Root/Microsoft/BITS/bitsclientjob/",
            "http://schemas.microsoft.com/wbem/wsman/1/wmi/root\\microsoft\\bits/BitsClientJob",
            "http://schemas.microsoft.com/wbem/wsman/1/wmi/root%2Fmicrosoft%5cbits//BitsClientJob",
            " wmi/root/microsoft/bits/BitsClientJob\n",
        ] {
            assert_eq!(parts(text), wanted, "{text}");
        }
        assert_eq!(
            parts("http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/BitsClientJob/"),
            Some((Form::Dmtf, String::new(), "bitsclientjob".to_owned()))
        );
    }

    #[test]
    fn all_classes_are_a_star() {
        for text in [
            "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/*",
            "http://schemas.dmtf.org/wbem/wscim/1/*",
        ] {
            assert!(ResourceUri::parse(text).is_ok_and(|uri| uri.is_all_classes()));
        }
    }

    #[test]
    fn a_uri_has_one_form_for_the_patterns_of_mappings() {
        let job = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/microsoft/bits/BitsClientJob";
        let config = "http://schemas.microsoft.com/wbem/wsman/1/config/service";
        for (written, meant) in [
            (job, job),
            ("wmi/root/microsoft/bits/BitsClientJob", job),
            ("WMI/root//microsoft\\bits/BitsClientJob/ ", job),
            (&job.replace("wbem", "%77bem"), job),
            (&job.replace("/wbem", "//wbem"), job),
            (&job.replace("://", ":///"), job),
            (&job.replace("://", ":%5c"), job),
            ("winrm/config/service", config),
            ("winrm%2Fconfig/service/", config),
            ("urn:x", "urn:x"),
            ("", ""),
        ] {
            assert_eq!(canonical(written), meant, "{written}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn the_form_for_patterns_leads_to_the_same_resource(
            text in "(http:/{1,3}|wmi|winrm|urn:)?([/\\\\]|schemas\\.microsoft\\.com|schemas\\.dmtf\\.org\
                |wbem|wscim|wsman|config|wmi|cim-schema|1|2|root|%77|%2f|\\*|x){0,12}"
        ) {
            let form = canonical(&text);
            prop_assert_eq!(Resource::parse(&form).ok(), Resource::parse(&text).ok());
        }
    }

    #[test]
    fn resources_that_are_no_classes_are_told_apart() {
        let config = |part: &str| Some(Resource::Config(part.to_owned()));
        for (text, wanted) in [
            (
                "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*",
                Some(Resource::Schema),
            ),
            (
                "http://schemas.microsoft.com/wbem/wsman/1/config",
                config(""),
            ),
            (
                "http://schemas.microsoft.com/wbem/wsman/1/config/Service/Auth/",
                config("service/auth"),
            ),
            ("winrm/config/listener", config("listener")),
            ("http://schemas.microsoft.com/wbem/wsman/1/configure", None),
            (
                "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd",
                Some(Resource::Shell),
            ),
            (
                "http://schemas.microsoft.com/wbem/wsman/1/windows/EventLog",
                None,
            ),
        ] {
            assert_eq!(Resource::parse(text).ok(), wanted, "{text}");
        }
    }

    #[test]
    fn other_families_are_refused() {
        for text in [
            "",
            "wmi",
            "wmi/BitsClientJob",
            "http://schemas.microsoft.com/wbem/wsman/1/config",
            "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd",
            "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/",
            "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/a/b",
        ] {
            assert!(ResourceUri::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused(text in "\\PC*") {
            let _ = Resource::parse(&text);
            let _ = ResourceUri::parse(&format!("wmi/{text}"));
        }
    }
}

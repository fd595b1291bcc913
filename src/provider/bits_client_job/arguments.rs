//! What the methods of `BitsClientJob` are called with, and what a Create or Put
//! gives, as the engine's values.
//!
//! Names and types are checked before, against the schema. Here numbers become
//! the values they stand for, and what is not in force is refused rather than
//! stored: Passport credentials, and certificate stores other than the machine's.

use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::CertificateChoice;
use crate::bits::Changes;
use crate::bits::ClientCertificate;
use crate::bits::Credentials;
use crate::bits::Hresult;
use crate::bits::JobType;
use crate::bits::Language;
use crate::bits::Proxy;
use crate::bits::Secret;
use crate::cim::Value;
use crate::cim::Values;
use crate::engine::Command;
use crate::engine::Wish;
use crate::engine::WishedFile;
use crate::provider::About;
use crate::provider::BadValue;
use crate::provider::Error;
use crate::provider::Wrong;

/// `CreateJob`.
pub(in crate::provider) fn wish(arguments: &Values) -> Result<Wish, Error> {
    let display_name = text(arguments, "DisplayName")?;
    let remote_url = text(arguments, "RemoteUrl")?;
    let local_file = text(arguments, "LocalFile")?;
    // Microsoft's class has no upload-reply; native BITS does.
    let kind = match optional_number(arguments, "Type")? {
        None | Some(0) => JobType::Download,
        Some(1) => JobType::Upload,
        Some(value) => return Err(not_among(Hresult::E_NOTIMPL, "Type", value, TYPES)),
    };
    // Checked, then without effect: transfers run as the service's account.
    if let Some(account @ 3..) = optional_number(arguments, "ServiceAccount")? {
        let code = Hresult::E_INVALIDARG;
        return Err(not_among(code, "ServiceAccount", account, ACCOUNTS));
    }
    Ok(Wish {
        kind,
        display_name,
        description: optional_text(arguments, "Description")?.unwrap_or_default(),
        files: vec![WishedFile {
            remote_url,
            local_file,
            ..WishedFile::default()
        }],
        suspended: match arguments.value("Suspend") {
            None => false,
            Some(Value::Boolean(suspended)) => *suspended,
            Some(_) => return Err(bad("Suspend", Wrong::Type)),
        },
        ..Wish::default()
    })
}

/// Create: the writable properties, and files. The job waits for its Resume,
/// as `IBackgroundCopyManager::CreateJob` leaves it.
pub(in crate::provider) fn creation(mut values: Values) -> Result<Wish, Error> {
    let files = match values.take("Files") {
        None => Vec::new(),
        Some(Value::Array(files)) => files.iter().map(given_file).collect::<Result<_, _>>()?,
        Some(_) => return Err(bad("Files", Wrong::Type)),
    };
    let mut changes = changes(&values)?;
    Ok(Wish {
        display_name: changes
            .display_name
            .take()
            .ok_or_else(|| bad("DisplayName", Wrong::Missing))?,
        description: changes.description.take().unwrap_or_default(),
        files,
        suspended: true,
        changes,
        ..Wish::default()
    })
}

/// One of `Files`: remote address and destination.
fn given_file(value: &Value) -> Result<WishedFile, Error> {
    let Value::Instance(file) = value else {
        return Err(bad("Files", Wrong::Type));
    };
    let text = |name: &str| match file.value(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) | None => Err(bad(name, Wrong::Missing)),
    };
    Ok(WishedFile {
        remote_url: text("RemoteUrl")?,
        local_file: text("LocalFile")?,
        ..WishedFile::default()
    })
}

/// `AddFile`: remote address and destination.
pub(in crate::provider) fn file(arguments: &Values) -> Result<WishedFile, Error> {
    Ok(WishedFile {
        remote_url: text(arguments, "remoteUrl")?,
        local_file: text(arguments, "localFile")?,
        ..WishedFile::default()
    })
}

/// `SetJobState`: its numbers are commands, not states.
pub(in crate::provider) fn command(arguments: &Values) -> Result<Command, Error> {
    match number(arguments, "JobState")? {
        0 => Ok(Command::Cancel),
        1 => Ok(Command::Complete),
        2 => Ok(Command::Resume),
        3 => Ok(Command::Suspend),
        other => Err(not_among(
            Hresult::E_INVALIDARG,
            "JobState",
            other,
            COMMANDS,
        )),
    }
}

/// `GetError`: the language of its sentences.
pub(in crate::provider) fn language(arguments: &Values) -> Result<Language, Error> {
    match arguments.value("LanguageId") {
        None => Ok(Language::default()),
        Some(Value::Uint32(langid)) => Ok(Language::from_langid(*langid)),
        Some(_) => Err(bad("LanguageId", Wrong::Type)),
    }
}

/// `RemoveCredentials`, and the first half of `SetCredentials`.
pub(in crate::provider) fn target_and_scheme(
    arguments: &Values,
) -> Result<(AuthTarget, AuthScheme), Error> {
    let target = number(arguments, "Target")?;
    let scheme = number(arguments, "Scheme")?;
    let target = AuthTarget::from_number(target).ok_or_else(|| {
        let code = Hresult::BG_E_INVALID_AUTH_TARGET;
        not_among(code, "Target", target, TARGETS)
    })?;
    let scheme = AuthScheme::from_number(scheme).ok_or_else(|| {
        let code = Hresult::BG_E_INVALID_AUTH_SCHEME;
        not_among(code, "Scheme", scheme, SCHEMES)
    })?;
    Ok((target, scheme))
}

/// `SetCredentials`. No error repeats what was given.
pub(in crate::provider) fn credentials(arguments: &Values) -> Result<Credentials, Error> {
    let (target, scheme) = target_and_scheme(arguments)?;
    if scheme == AuthScheme::Passport {
        // The service that it asks for tickets is no more.
        let wrong = Wrong::NotInForce("4 (Passport)");
        return Err(failed(Hresult::E_NOTIMPL, "Scheme", wrong));
    }
    let user = optional_text(arguments, "UserName")?;
    let password = optional_text(arguments, "Password")?;
    let missing = |name| failed(Hresult::E_INVALIDARG, name, Wrong::Missing);
    let may_be_implicit = matches!(scheme, AuthScheme::Ntlm | AuthScheme::Negotiate);
    let (user, password) = match (user, password) {
        (Some(user), Some(password)) => (Secret::new(user), Secret::new(password)),
        // The log-on of the service itself.
        (None, None) if may_be_implicit => (Secret::new(String::new()), Secret::new(String::new())),
        (None, _) => return Err(missing("UserName")),
        (Some(_), None) => return Err(missing("Password")),
    };
    // Nobody is somebody with a password.
    if may_be_implicit && user.reveal().is_empty() && !password.reveal().is_empty() {
        return Err(failed(Hresult::E_INVALIDARG, "UserName", Wrong::Empty));
    }
    if user.reveal().chars().count() > MAX_USER {
        let code = Hresult::BG_E_USERNAME_TOO_LARGE;
        return Err(failed(code, "UserName", Wrong::TooLong(MAX_USER)));
    }
    if password.reveal().chars().count() > MAX_PASSWORD {
        let code = Hresult::BG_E_PASSWORD_TOO_LARGE;
        return Err(failed(code, "Password", Wrong::TooLong(MAX_PASSWORD)));
    }
    // RFC 7617, 2: a colon would end the name, and no header carries controls.
    if user.reveal().contains(char::is_control)
        || (scheme == AuthScheme::Basic && user.reveal().contains(':'))
    {
        return Err(failed(Hresult::E_INVALIDARG, "UserName", Wrong::Character));
    }
    Ok(Credentials {
        target,
        scheme,
        user,
        password,
    })
}

/// `SetClientCertificateById`.
pub(in crate::provider) fn certificate_by_hash(
    arguments: &Values,
) -> Result<ClientCertificate, Error> {
    let store_name = store_name(arguments)?;
    let octets: Option<Vec<u8>> = match arguments.value("CertHash") {
        Some(Value::Array(values)) => values
            .iter()
            .map(|value| match value {
                Value::Uint8(octet) => Some(*octet),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    let hash = octets.and_then(|octets| octets.try_into().ok());
    let hash = hash.ok_or_else(|| failed(Hresult::E_INVALIDARG, "CertHash", Wrong::NotHash))?;
    Ok(ClientCertificate {
        store_name,
        choice: CertificateChoice::Hash(hash),
    })
}

/// `SetClientCertificateByName`.
pub(in crate::provider) fn certificate_by_name(
    arguments: &Values,
) -> Result<ClientCertificate, Error> {
    let store_name = store_name(arguments)?;
    let subject = text(arguments, "SubjectName")?;
    if subject.is_empty() {
        return Err(failed(Hresult::E_INVALIDARG, "SubjectName", Wrong::Empty));
    }
    Ok(ClientCertificate {
        store_name,
        choice: CertificateChoice::Subject(subject),
    })
}

/// `SetProxySettings`. An empty list is no list: a script has no other way to
/// leave one out.
pub(in crate::provider) fn proxy(arguments: &Values) -> Result<Proxy, Error> {
    let usage = number(arguments, "ProxyUsage")?;
    let list = optional_text(arguments, "ProxyList")?.filter(|list| !list.trim().is_empty());
    let bypass =
        optional_text(arguments, "ProxyBypassList")?.filter(|list| !list.trim().is_empty());
    let lists_are_null = || {
        let given = [("ProxyList", &list), ("ProxyBypassList", &bypass)];
        match given.iter().find(|(_, list)| list.is_some()) {
            Some((name, _)) => Err(failed(
                Hresult::E_INVALIDARG,
                name,
                Wrong::OnlyWith("ProxyUsage 2 (Override)"),
            )),
            None => Ok(()),
        }
    };
    match usage {
        0 => lists_are_null().map(|()| Proxy::Preconfig),
        1 => lists_are_null().map(|()| Proxy::None),
        2 => {
            let Some(list) = list else {
                return Err(failed(Hresult::E_INVALIDARG, "ProxyList", Wrong::Missing));
            };
            let bypass = bypass.unwrap_or_default();
            let too_long = Wrong::TooLong(MAX_PROXY_LIST);
            if list.chars().count() > MAX_PROXY_LIST {
                let code = Hresult::BG_E_PROXY_LIST_TOO_LARGE;
                return Err(failed(code, "ProxyList", too_long));
            }
            if bypass.chars().count() > MAX_PROXY_LIST {
                let code = Hresult::BG_E_PROXY_BYPASS_LIST_TOO_LARGE;
                return Err(failed(code, "ProxyBypassList", too_long));
            }
            Ok(Proxy::Override { list, bypass })
        }
        3 => lists_are_null().map(|()| Proxy::Automatic),
        other => Err(not_among(Hresult::E_NOTIMPL, "ProxyUsage", other, USAGES)),
    }
}

/// The writable properties, of a Put. What is absent stays as it is; null has
/// no meaning for any of them.
pub(in crate::provider) fn changes(values: &Values) -> Result<Changes, Error> {
    let mut changes = Changes::default();
    for (name, value) in values.iter() {
        match (name, value) {
            ("DisplayName", Some(Value::String(text))) => {
                changes.display_name = Some(text.clone());
            }
            ("Description", Some(Value::String(text))) => {
                changes.description = Some(text.clone());
            }
            ("Priority", Some(Value::Uint32(number))) => changes.priority = Some(*number),
            ("MinimumRetryDelay", Some(Value::Uint32(number))) => {
                changes.minimum_retry_delay_s = Some(*number);
            }
            ("NoProgressTimeout", Some(Value::Uint32(number))) => {
                changes.no_progress_timeout_s = Some(*number);
            }
            (_, None) => return Err(bad(name, Wrong::Null)),
            (_, Some(_)) => return Err(bad(name, Wrong::NotSettable)),
        }
    }
    Ok(changes)
}

/// `CertStoreLocation` and `StoreName`: only the machine's stores are there.
fn store_name(arguments: &Values) -> Result<String, Error> {
    let location = number(arguments, "CertStoreLocation")?;
    if location != LOCAL_MACHINE {
        let code = Hresult::E_NOTIMPL;
        return Err(not_among(code, "CertStoreLocation", location, STORES));
    }
    let name = text(arguments, "StoreName")?;
    // It becomes the name of a folder.
    if name.is_empty()
        || name.chars().count() > MAX_STORE_NAME
        || name.starts_with('.')
        || name.contains(['/', '\\'])
        || name.contains(char::is_control)
    {
        return Err(failed(Hresult::E_INVALIDARG, "StoreName", Wrong::NotStore));
    }
    Ok(name)
}

/// The text that must be given.
pub(in crate::provider) fn text(arguments: &Values, name: &str) -> Result<String, Error> {
    optional_text(arguments, name)?.ok_or_else(|| bad(name, Wrong::Missing))
}

/// The text, if there is one.
pub(in crate::provider) fn optional_text(
    arguments: &Values,
    name: &str,
) -> Result<Option<String>, Error> {
    match arguments.value(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(bad(name, Wrong::Type)),
    }
}

/// The number that must be given.
pub(in crate::provider) fn number(arguments: &Values, name: &str) -> Result<u16, Error> {
    optional_number(arguments, name)?.ok_or_else(|| bad(name, Wrong::Missing))
}

/// The number, if there is one; one beyond every enumeration is the largest.
pub(in crate::provider) fn optional_number(
    arguments: &Values,
    name: &str,
) -> Result<Option<u16>, Error> {
    match arguments.value(name) {
        None => Ok(None),
        Some(Value::Uint16(number)) => Ok(Some(*number)),
        // A number beyond every enumeration is as unknown as the largest.
        Some(Value::Uint32(number)) => Ok(Some(u16::try_from(*number).unwrap_or(u16::MAX))),
        Some(_) => Err(bad(name, Wrong::Type)),
    }
}

/// A value that the class does not allow.
pub(in crate::provider) fn bad(name: &str, wrong: Wrong) -> Error {
    Error::BadValue(BadValue {
        name: name.to_owned(),
        wrong,
    })
}

/// A value that BITS refuses with a code.
pub(in crate::provider) fn failed(code: Hresult, name: &str, wrong: Wrong) -> Error {
    Error::Failed {
        code,
        about: About::Value(BadValue {
            name: name.to_owned(),
            wrong,
        }),
    }
}

/// A number that has none of the meanings it may have.
pub(in crate::provider) fn not_among(
    code: Hresult,
    name: &str,
    value: u16,
    allowed: &'static str,
) -> Error {
    let value = u32::from(value);
    failed(code, name, Wrong::NotAmong { value, allowed })
}

const TYPES: &str = "0 (Download), 1 (Upload)";
const ACCOUNTS: &str = "0 (LocalSystem), 1 (LocalService), 2 (NetworkService)";
const COMMANDS: &str = "0 (Cancel), 1 (Complete), 2 (Resume), 3 (Suspend)";
const TARGETS: &str = "0 (Server), 1 (Proxy)";
const SCHEMES: &str = "0 (Basic), 1 (Digest), 2 (NTLM), 3 (Negotiate), 4 (Passport)";
const USAGES: &str = "0 (Preconfig), 1 (NoProxy), 2 (Override), 3 (AutoDetect)";
const STORES: &str = "1 (LocalMachine)";

/// `BG_CERT_STORE_LOCATION_LOCAL_MACHINE`.
const LOCAL_MACHINE: u16 = 1;

const MAX_USER: usize = 300;

const MAX_PASSWORD: usize = 65_535;

const MAX_PROXY_LIST: usize = 4_000;

/// 256 with the NUL at its end.
const MAX_STORE_NAME: usize = 255;

#[cfg(test)]
mod tests;

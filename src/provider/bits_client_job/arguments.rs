//! What the methods of `BitsClientJob` are called with, and what a Create or Put
//! gives, as the engine's values.
//!
//! Names and types are checked before, against the schema. Here numbers become
//! the values they stand for, and what is not in force is refused rather than
//! stored: uploads, NTLM, Negotiate and Passport credentials, certificate
//! stores other than the machine's, and proxy detection.

use crate::bits::AuthScheme;
use crate::bits::AuthTarget;
use crate::bits::CertificateChoice;
use crate::bits::Changes;
use crate::bits::ClientCertificate;
use crate::bits::Credentials;
use crate::bits::Hresult;
use crate::bits::Proxy;
use crate::bits::Secret;
use crate::cim::Value;
use crate::cim::Values;
use crate::engine::Command;
use crate::engine::Wish;
use crate::provider::Error;

/// `CreateJob`.
pub(super) fn wish(arguments: &Values) -> Result<Wish, Error> {
    let display_name = text(arguments, "DisplayName")?;
    let remote_url = text(arguments, "RemoteUrl")?;
    let local_file = text(arguments, "LocalFile")?;
    match optional_number(arguments, "Type")? {
        None | Some(0) => {}
        Some(1) => {
            return Err(failed(
                Hresult::E_NOTIMPL,
                "Type 1: uploads are not in force",
            ));
        }
        Some(other) => {
            let detail = format!("Type {other} is neither 0 (Download) nor 1 (Upload)");
            return Err(failed(Hresult::E_NOTIMPL, &detail));
        }
    }
    // Checked, then without effect: transfers run as the service's account.
    if let Some(account @ 3..) = optional_number(arguments, "ServiceAccount")? {
        let detail = format!(
            "ServiceAccount {account} is none of 0 (LocalSystem), 1 (LocalService) \
             and 2 (NetworkService)"
        );
        return Err(failed(Hresult::E_INVALIDARG, &detail));
    }
    Ok(Wish {
        display_name,
        description: optional_text(arguments, "Description")?.unwrap_or_default(),
        files: vec![(remote_url, local_file)],
        suspended: match arguments.value("Suspend") {
            None => false,
            Some(Value::Boolean(suspended)) => *suspended,
            Some(_) => return Err(bad("Suspend", "is no boolean")),
        },
        changes: Changes::default(),
    })
}

/// Create: the writable properties, and files. The job waits for its Resume,
/// as `IBackgroundCopyManager::CreateJob` leaves it.
pub(super) fn creation(mut values: Values) -> Result<Wish, Error> {
    let files = match values.take("Files") {
        None => Vec::new(),
        Some(Value::Array(files)) => files.iter().map(given_file).collect::<Result<_, _>>()?,
        Some(_) => return Err(bad("Files", "is no array")),
    };
    let mut changes = changes(&values)?;
    Ok(Wish {
        display_name: changes
            .display_name
            .take()
            .ok_or_else(|| bad("DisplayName", "is missing"))?,
        description: changes.description.take().unwrap_or_default(),
        files,
        suspended: true,
        changes,
    })
}

/// One of `Files`: remote address and destination.
fn given_file(value: &Value) -> Result<(String, String), Error> {
    let Value::Instance(file) = value else {
        return Err(bad("Files", "holds what is no file"));
    };
    let text = |name: &str| match file.value(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) | None => Err(bad(name, "is missing")),
    };
    Ok((text("RemoteUrl")?, text("LocalFile")?))
}

/// `AddFile`: remote address and destination.
pub(super) fn file(arguments: &Values) -> Result<(String, String), Error> {
    Ok((text(arguments, "remoteUrl")?, text(arguments, "localFile")?))
}

/// `SetJobState`: its numbers are commands, not states.
pub(super) fn command(arguments: &Values) -> Result<Command, Error> {
    match number(arguments, "JobState")? {
        0 => Ok(Command::Cancel),
        1 => Ok(Command::Complete),
        2 => Ok(Command::Resume),
        3 => Ok(Command::Suspend),
        other => Err(failed(
            Hresult::E_INVALIDARG,
            &format!(
                "JobState {other} is none of 0 (Cancel), 1 (Complete), 2 (Resume) and 3 (Suspend)"
            ),
        )),
    }
}

/// `RemoveCredentials`, and the first half of `SetCredentials`.
pub(super) fn target_and_scheme(arguments: &Values) -> Result<(AuthTarget, AuthScheme), Error> {
    let target = number(arguments, "Target")?;
    let scheme = number(arguments, "Scheme")?;
    let target = AuthTarget::from_number(target).ok_or_else(|| {
        failed(
            Hresult::BG_E_INVALID_AUTH_TARGET,
            &format!("Target {target} is neither 0 (Server) nor 1 (Proxy)"),
        )
    })?;
    let scheme = AuthScheme::from_number(scheme).ok_or_else(|| {
        failed(
            Hresult::BG_E_INVALID_AUTH_SCHEME,
            &format!("Scheme {scheme} is none of 0 (Basic) to 4 (Passport)"),
        )
    })?;
    Ok((target, scheme))
}

/// `SetCredentials`. No error repeats what was given.
pub(super) fn credentials(arguments: &Values) -> Result<Credentials, Error> {
    let (target, scheme) = target_and_scheme(arguments)?;
    match scheme {
        AuthScheme::Basic | AuthScheme::Digest => {}
        AuthScheme::Ntlm | AuthScheme::Negotiate | AuthScheme::Passport => {
            return Err(failed(
                Hresult::E_NOTIMPL,
                "only the schemes 0 (Basic) and 1 (Digest) are in force",
            ));
        }
    }
    let user = optional_text(arguments, "UserName")?.map(Secret::new);
    let password = optional_text(arguments, "Password")?.map(Secret::new);
    let (Some(user), Some(password)) = (user, password) else {
        return Err(failed(
            Hresult::E_INVALIDARG,
            "the scheme needs a UserName and a Password: there is no implicit log-on",
        ));
    };
    if user.reveal().chars().count() > MAX_USER {
        return Err(failed(
            Hresult::BG_E_USERNAME_TOO_LARGE,
            "UserName is longer than 300 characters",
        ));
    }
    if password.reveal().chars().count() > MAX_PASSWORD {
        return Err(failed(
            Hresult::BG_E_PASSWORD_TOO_LARGE,
            "Password is longer than 65535 characters",
        ));
    }
    // RFC 7617, 2: a colon would end the name, and no header carries controls.
    if user.reveal().contains(char::is_control)
        || (scheme == AuthScheme::Basic && user.reveal().contains(':'))
    {
        return Err(failed(
            Hresult::E_INVALIDARG,
            "UserName has a character that the scheme cannot carry",
        ));
    }
    Ok(Credentials {
        target,
        scheme,
        user,
        password,
    })
}

/// `SetClientCertificateById`.
pub(super) fn certificate_by_hash(arguments: &Values) -> Result<ClientCertificate, Error> {
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
    let hash = hash.ok_or_else(|| {
        failed(
            Hresult::E_INVALIDARG,
            "CertHash must be the 20 octets of a SHA-1 hash",
        )
    })?;
    Ok(ClientCertificate {
        store_name,
        choice: CertificateChoice::Hash(hash),
    })
}

/// `SetClientCertificateByName`.
pub(super) fn certificate_by_name(arguments: &Values) -> Result<ClientCertificate, Error> {
    let store_name = store_name(arguments)?;
    let subject = text(arguments, "SubjectName")?;
    if subject.is_empty() {
        return Err(failed(Hresult::E_INVALIDARG, "SubjectName is empty"));
    }
    Ok(ClientCertificate {
        store_name,
        choice: CertificateChoice::Subject(subject),
    })
}

/// `SetProxySettings`. An empty list is no list: a script has no other way to
/// leave one out.
pub(super) fn proxy(arguments: &Values) -> Result<Proxy, Error> {
    let usage = number(arguments, "ProxyUsage")?;
    let list = optional_text(arguments, "ProxyList")?.filter(|list| !list.trim().is_empty());
    let bypass =
        optional_text(arguments, "ProxyBypassList")?.filter(|list| !list.trim().is_empty());
    let lists_are_null = || {
        if list.is_some() || bypass.is_some() {
            return Err(failed(
                Hresult::E_INVALIDARG,
                "ProxyList and ProxyBypassList go with ProxyUsage 2 (override) only",
            ));
        }
        Ok(())
    };
    match usage {
        0 => lists_are_null().map(|()| Proxy::Preconfig),
        1 => lists_are_null().map(|()| Proxy::None),
        2 => {
            let Some(list) = list else {
                return Err(failed(
                    Hresult::E_INVALIDARG,
                    "ProxyUsage 2 (override) needs a ProxyList",
                ));
            };
            let bypass = bypass.unwrap_or_default();
            if list.chars().count() > MAX_PROXY_LIST {
                return Err(failed(
                    Hresult::BG_E_PROXY_LIST_TOO_LARGE,
                    "ProxyList is longer than 4000 characters",
                ));
            }
            if bypass.chars().count() > MAX_PROXY_LIST {
                return Err(failed(
                    Hresult::BG_E_PROXY_BYPASS_LIST_TOO_LARGE,
                    "ProxyBypassList is longer than 4000 characters",
                ));
            }
            Ok(Proxy::Override { list, bypass })
        }
        3 => {
            lists_are_null()?;
            Err(failed(
                Hresult::E_NOTIMPL,
                "ProxyUsage 3: proxy detection is not in force",
            ))
        }
        other => Err(failed(
            Hresult::E_NOTIMPL,
            &format!("ProxyUsage {other} is none of 0, 1 and 2"),
        )),
    }
}

/// The writable properties, of a Put. What is absent stays as it is; null has
/// no meaning for any of them.
pub(super) fn changes(values: &Values) -> Result<Changes, Error> {
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
            (_, None) => return Err(bad(name, "may not be null")),
            (_, Some(_)) => return Err(bad(name, "cannot be set to this")),
        }
    }
    Ok(changes)
}

/// `CertStoreLocation` and `StoreName`: only the machine's stores are there.
fn store_name(arguments: &Values) -> Result<String, Error> {
    let location = number(arguments, "CertStoreLocation")?;
    if location != LOCAL_MACHINE {
        let detail = format!("CertStoreLocation {location}: only 1 (local machine) is in force");
        return Err(failed(Hresult::E_NOTIMPL, &detail));
    }
    let name = text(arguments, "StoreName")?;
    // It becomes the name of a folder.
    if name.is_empty()
        || name.chars().count() > MAX_STORE_NAME
        || name.starts_with('.')
        || name.contains(['/', '\\'])
        || name.contains(char::is_control)
    {
        return Err(failed(
            Hresult::E_INVALIDARG,
            "StoreName is not the name of a certificate store",
        ));
    }
    Ok(name)
}

fn text(arguments: &Values, name: &str) -> Result<String, Error> {
    optional_text(arguments, name)?.ok_or_else(|| bad(name, "is missing"))
}

fn optional_text(arguments: &Values, name: &str) -> Result<Option<String>, Error> {
    match arguments.value(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(bad(name, "is no text")),
    }
}

fn number(arguments: &Values, name: &str) -> Result<u16, Error> {
    optional_number(arguments, name)?.ok_or_else(|| bad(name, "is missing"))
}

fn optional_number(arguments: &Values, name: &str) -> Result<Option<u16>, Error> {
    match arguments.value(name) {
        None => Ok(None),
        Some(Value::Uint16(number)) => Ok(Some(*number)),
        // A number beyond every enumeration is as unknown as the largest.
        Some(Value::Uint32(number)) => Ok(Some(u16::try_from(*number).unwrap_or(u16::MAX))),
        Some(_) => Err(bad(name, "is no number")),
    }
}

fn bad(name: &str, reason: &str) -> Error {
    Error::BadValue {
        name: name.to_owned(),
        reason: reason.to_owned(),
    }
}

fn failed(code: Hresult, detail: &str) -> Error {
    Error::Failed {
        code,
        detail: detail.to_owned(),
    }
}

/// `BG_CERT_STORE_LOCATION_LOCAL_MACHINE`.
const LOCAL_MACHINE: u16 = 1;

const MAX_USER: usize = 300;

const MAX_PASSWORD: usize = 65_535;

const MAX_PROXY_LIST: usize = 4_000;

/// 256 with the NUL at its end.
const MAX_STORE_NAME: usize = 255;

#[cfg(test)]
mod tests;

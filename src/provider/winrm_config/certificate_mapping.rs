//! `winrm/config/service/certmapping`: certificates that stand for accounts.

use crate::config::CertificateMapping;
use crate::config::Settings;
use crate::document::Node;

use super::ConfigError;
use super::Keys;
use super::key;

/// What a client sees of a mapping.
pub(super) fn document(mapping: &CertificateMapping) -> Node {
    Node::branch(
        "CertMapping",
        vec![
            Node::leaf(URI, &mapping.uri),
            Node::leaf(SUBJECT, &mapping.subject),
            Node::leaf(ISSUER, &mapping.issuer),
            Node::leaf(USER_NAME, &mapping.user),
            Node::leaf(ENABLED, mapping.enabled.to_string()),
        ],
    )
}

/// The place of the mapping with these keys.
///
/// # Errors
///
/// [`ConfigError::NotFound`].
pub(super) fn find(settings: &Settings, keys: &Keys) -> Result<usize, ConfigError> {
    let wanted = mapping(keys);
    settings
        .access
        .certificate_mappings
        .iter()
        .position(|own| own.is_for_the_same(&wanted))
        .ok_or(ConfigError::NotFound)
}

/// Sets what `given` has of the mapping at `at`. A password is passed over:
/// nobody is logged on by it here.
///
/// # Errors
///
/// [`ConfigError::KeyChanged`].
pub(super) fn put(at: usize, given: &Node, settings: &mut Settings) -> Result<(), ConfigError> {
    let mappings = &mut settings.access.certificate_mappings;
    let mapping = mappings.get_mut(at).ok_or(ConfigError::NotFound)?;
    check_keys(mapping, given)?;
    if let Some(user) = given.value(USER_NAME) {
        user.clone_into(&mut mapping.user);
    }
    if let Some(enabled) = given.value(ENABLED) {
        mapping.enabled = enabled == "true";
    }
    Ok(())
}

/// Adds a mapping; gives its keys.
///
/// # Errors
///
/// [`ConfigError`].
pub(super) fn create(
    keys: &Keys,
    given: &Node,
    settings: &mut Settings,
) -> Result<Keys, ConfigError> {
    let mut mapping = mapping(keys);
    check_keys(&mapping, given)?;
    let mappings = &mut settings.access.certificate_mappings;
    if mappings.iter().any(|own| own.is_for_the_same(&mapping)) {
        let CertificateMapping {
            issuer,
            subject,
            uri,
            ..
        } = mapping;
        let words = format!("Issuer={issuer}, Subject={subject}, URI={uri}");
        return Err(ConfigError::Exists(words));
    }
    let user = given.value(USER_NAME);
    user.ok_or(ConfigError::Missing(USER_NAME))?
        .clone_into(&mut mapping.user);
    mapping.enabled = given.value(ENABLED) != Some("false");
    mappings.push(mapping);
    Ok(keys.clone())
}

/// A mapping with these keys, for nobody.
fn mapping(keys: &Keys) -> CertificateMapping {
    CertificateMapping {
        issuer: key(keys, ISSUER).to_owned(),
        subject: key(keys, SUBJECT).to_owned(),
        uri: key(keys, URI).to_owned(),
        user: String::new(),
        enabled: true,
    }
}

/// The keys in a document must be those of the mapping.
fn check_keys(mapping: &CertificateMapping, given: &Node) -> Result<(), ConfigError> {
    for name in [URI, SUBJECT, ISSUER] {
        let Some(value) = given.value(name) else {
            continue;
        };
        let mut other = mapping.clone();
        let key = match name {
            URI => &mut other.uri,
            SUBJECT => &mut other.subject,
            _ => &mut other.issuer,
        };
        value.clone_into(key);
        if !other.is_for_the_same(mapping) {
            return Err(ConfigError::KeyChanged(name));
        }
    }
    Ok(())
}

const URI: &str = "URI";
const SUBJECT: &str = "Subject";
const ISSUER: &str = "Issuer";
const USER_NAME: &str = "UserName";
const ENABLED: &str = "Enabled";

//! The sentences of the configuration's errors in Brazilian Portuguese:
//! lower-case fragments without a full stop, as their English is. Names of
//! elements and settings stay as they are.

use crate::document::ReadError;
use crate::document::Wanted;
use crate::provider::ConfigError;
use crate::provider::Unsupported;

/// What `error` says.
pub(in super::super) fn words(error: &ConfigError) -> String {
    match error {
        ConfigError::Denied => "somente administradores podem alterar a configuração".to_owned(),
        ConfigError::NotFound => "essa parte da configuração não existe".to_owned(),
        ConfigError::Ambiguous(keys) => {
            format!("os seletores {keys} indicam mais de uma parte da configuração")
        }
        ConfigError::Exists(what) => format!("{what}: já existe"),
        ConfigError::NotSupported(what) => unsupported(*what).to_owned(),
        ConfigError::Address(value) => {
            format!("Address: {value} não é * nem IP: com um endereço")
        }
        ConfigError::Transport(value) => format!("Transport: {value} não é HTTP nem HTTPS"),
        ConfigError::Document(error) => document(error),
        ConfigError::Missing(name) => format!("falta {name}"),
        ConfigError::KeyChanged(name) => format!("a chave {name} não pode ser alterada"),
        ConfigError::ReadOnly(name) => {
            format!("{name} não pode ser alterado: é somente leitura")
        }
        ConfigError::Fixed { name, value } => format!(
            "{name} não pode ser alterado: este serviço não conhece outro valor além de {value:?}"
        ),
        ConfigError::Frozen(name) => {
            format!("{name} não pode ser alterado: a cota não está mais em uso")
        }
        ConfigError::LastLogOn => "Service/Auth/Basic deve ser true enquanto ninguém puder entrar \
            por certificado"
            .to_owned(),
        ConfigError::NoAuthorities => "Service/Auth/Certificate não pode ser true: o arquivo de \
            configuração não indica autoridades (access.client_ca_certificates), e nenhum \
            CertMapping habilitado indica um certificado"
            .to_owned(),
        ConfigError::LastListener => "o último Listener não pode ser removido".to_owned(),
        // The reason is that of the settings file, in English.
        ConfigError::Value { name, reason } => format!("{name}: {reason}"),
        ConfigError::Listen(reason) => {
            format!("os ouvintes não podem ser alterados: {reason}")
        }
        ConfigError::Unavailable => "a alteração não pode ser gravada e não foi feita".to_owned(),
    }
}

fn unsupported(what: Unsupported) -> &'static str {
    match what {
        Unsupported::Security => {
            "quem pode fazer o quê está em access.users, access.administrators e access.roles do arquivo de \
             configuração, e não em descritores de segurança"
        }
        Unsupported::DefaultPorts => {
            "as portas padrão não podem ser definidas; cada ouvinte tem sua própria porta"
        }
        Unsupported::PlugIn => "o único plug-in é o próprio serviço: ele não pode ser alterado",
        Unsupported::One => "há um único documento desse tipo: ele pode ser lido e definido",
    }
}

fn document(error: &ReadError) -> String {
    match error {
        ReadError::Root(name) => format!("o elemento {name} é obrigatório"),
        ReadError::Unknown(name) => format!("{name} não é conhecido aqui"),
        ReadError::Twice(name) => format!("{name} aparece duas vezes"),
        ReadError::NoValue(name) => format!("{name} deve conter um valor"),
        ReadError::Missing(name) => format!("falta {name}"),
        ReadError::Value { name, wanted } => format!("{name}: {}", value(wanted)),
    }
}

fn value(wanted: &Wanted) -> String {
    match wanted {
        Wanted::Boolean => "deve ser true ou false".to_owned(),
        Wanted::Number { least, most } => format!("deve ser um número de {least} a {most}"),
        Wanted::OneOf(values) => format!("deve ser um destes: {values}"),
        Wanted::Length { least, most } => format!("deve ter de {least} a {most} caracteres"),
        Wanted::Form => "tem caracteres, ou um tamanho, que não pode ter".to_owned(),
        Wanted::Elements => "deve conter elementos".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_told_with_what_it_is_about() {
        let name = "MaxBatchItems";
        let value = |wanted| {
            ConfigError::Document(ReadError::Value {
                name: name.to_owned(),
                wanted,
            })
        };
        for error in [
            ConfigError::Ambiguous(name.to_owned()),
            ConfigError::Exists(name.to_owned()),
            ConfigError::Address(name.to_owned()),
            ConfigError::Transport(name.to_owned()),
            ConfigError::Missing(name),
            ConfigError::KeyChanged(name),
            ConfigError::ReadOnly(name.to_owned()),
            ConfigError::Fixed {
                name: name.to_owned(),
                value: "7".to_owned(),
            },
            ConfigError::Frozen(name.to_owned()),
            ConfigError::Value {
                name: name.to_owned(),
                reason: "7 is not from 1 to 5".to_owned(),
            },
            ConfigError::Listen(name.to_owned()),
            ConfigError::Document(ReadError::Root(name.to_owned())),
            ConfigError::Document(ReadError::Unknown(name.to_owned())),
            ConfigError::Document(ReadError::Twice(name.to_owned())),
            ConfigError::Document(ReadError::NoValue(name.to_owned())),
            ConfigError::Document(ReadError::Missing(name.to_owned())),
            value(Wanted::Boolean),
            value(Wanted::Number { least: 1, most: 2 }),
            value(Wanted::OneOf("a, b".to_owned())),
            value(Wanted::Length { least: 1, most: 2 }),
            value(Wanted::Form),
            value(Wanted::Elements),
        ] {
            let told = words(&error);
            assert!(told.contains(name), "{told}");
            let is_english = told == error.to_string();
            let is_setting = matches!(error, ConfigError::Value { .. });
            assert_eq!(is_english, is_setting, "{told}");
        }
        for error in [
            ConfigError::Denied,
            ConfigError::NotFound,
            ConfigError::LastLogOn,
            ConfigError::NoAuthorities,
            ConfigError::LastListener,
            ConfigError::Unavailable,
            Unsupported::Security.into(),
            Unsupported::DefaultPorts.into(),
            Unsupported::PlugIn.into(),
            Unsupported::One.into(),
        ] {
            assert_ne!(words(&error), error.to_string());
        }
    }
}

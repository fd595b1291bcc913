//! The sentences of faults in Brazilian Portuguese. The matches have no `_`
//! arm: a new error does not compile until it can be said in both languages.
//!
//! Like the errors' own English these are lower-case fragments without a full
//! stop. Names of the protocol and of the schema stay as they are.

mod filter;

use crate::bits::Language;
use crate::bits::names;
use crate::cim::xml::Expected;
use crate::cim::xml::ReadError;
use crate::provider;
use crate::provider::About;
use crate::provider::BadValue;
use crate::provider::Wrong;
use crate::soap;
use crate::xml;

use super::super::config;
use super::super::error::BodyError;
use super::super::error::Error;
use super::super::error::FragmentError;

/// What `error` says.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::Denied => "o acesso foi negado".to_owned(),
        Error::Unsealed => "o acesso foi negado: as mensagens por HTTP devem ser criptografadas \
            (Negotiate, Kerberos ou CredSSP com criptografia de mensagens) ou enviadas por HTTPS"
            .to_owned(),
        Error::Undecodable => "a mensagem não é um texto em UTF-8 nem em UTF-16".to_owned(),
        Error::Envelope(error) => envelope(error),
        Error::EncodingStyle => "o estilo de codificação da mensagem não é compreendido".to_owned(),

        Error::HeaderTwice(name) => {
            format!("o bloco de cabeçalho {name} aparece duas vezes")
        }
        Error::HeaderRequired(name) => format!("o bloco de cabeçalho {name} é obrigatório"),
        Error::HeaderInvalid(name) => format!("o bloco de cabeçalho {name} não é válido"),
        Error::TimeoutInvalid => {
            "o bloco de cabeçalho do tempo limite não é válido: ele deve conter uma duração"
                .to_owned()
        }
        Error::NotUnderstood { local, .. } => {
            format!("o bloco de cabeçalho {local} precisa ser compreendido e não é")
        }
        Error::NotAnonymous(name) => {
            format!("não há suporte para o endereço em {name}: ele deve ser o endereço anônimo")
        }
        Error::Locale => "o serviço não pode garantir o idioma de suas respostas: \
            Locale não pode ser marcado com mustUnderstand"
            .to_owned(),
        Error::DataLocale => "o serviço não pode garantir o idioma de seus dados: \
            DataLocale não pode ser marcado com mustUnderstand"
            .to_owned(),
        Error::EnvelopeTooSmall => "MaxEnvelopeSize deve ser de pelo menos 8192".to_owned(),

        Error::NoResource => "a solicitação não indica nenhum recurso".to_owned(),
        Error::NoSuchResource(uri) => {
            format!("a URI de recurso não é atendida aqui: {uri}")
        }
        Error::NoShell => {
            "este ponto de extremidade gerencia trabalhos de transferência em segundo plano; \
             ele não tem shells"
                .to_owned()
        }
        Error::UriTooLong(name) => format!("a URI em {name} é longa demais"),
        Error::NoSuchClass(name) => format!("não existe a classe {name} nesse namespace"),
        Error::NoSuchNamespace(name) => format!("não existe o namespace {name}"),
        Error::NamespacesDiffer => {
            "o seletor __cimnamespace e a URI de recurso indicam namespaces diferentes".to_owned()
        }
        Error::NoKeySelector(class) => {
            format!("os seletores devem indicar uma instância de {class}")
        }
        Error::MissingSelector(name) => format!("falta o seletor {name}"),
        Error::UnexpectedSelector(name) => {
            format!("o seletor {name} não é uma chave do recurso")
        }
        Error::DuplicateSelector(name) => format!("o seletor {name} aparece mais de uma vez"),
        Error::ReferenceSelector(name) => format!("o seletor {name} deve conter texto"),
        Error::TooManySelectors => "há seletores demais, ou seletores longos demais".to_owned(),
        Error::TooManyOptions => "há opções demais".to_owned(),
        Error::NamelessOption => "uma opção não tem nome".to_owned(),
        Error::OptionInvalid(name) => format!("a opção {name} deve ser true ou false"),
        Error::OptionNotSupported(name) => {
            format!("o recurso não oferece suporte à opção {name}")
        }
        Error::EnumerateWithKeys => "uma enumeração não aceita uma chave como seletor".to_owned(),

        Error::NoAction(action) => format!("a ação não é válida: {action}"),
        Error::ActionNotSupported(action) => {
            format!("o recurso não oferece suporte à ação: {action}")
        }
        Error::NoSuchMethod(name) => format!("a classe não tem o método {name}"),

        Error::Body(error) => ["o corpo não é válido: ", &body(*error)].concat(),
        Error::Representation(error) => ["a representação não é válida: ", &read(error)].concat(),
        Error::KeyChanged(name) => format!("a chave {name} não pode ser alterada"),
        Error::ReadOnly(name) => format!("a propriedade {name} não pode ser definida"),
        Error::Fragment(error) => ["o fragmento não é válido: ", fragment(*error)].concat(),
        Error::Arguments(error) => ["os parâmetros não são válidos: ", &read(error)].concat(),

        Error::FragmentDialect => "os fragmentos só podem ser indicados por XPath 1.0".to_owned(),
        Error::FragmentPath(path) => {
            format!("não é possível processar a expressão de fragmento: {path}")
        }
        Error::FragmentNotSupported => "a operação não oferece suporte a fragmentos".to_owned(),

        Error::Filter(error) => filter::refused(error),
        Error::FilterUnfound(what) => filter::unfound(what),
        Error::FilterNeedsClass => {
            "um filtro desse dialeto requer a URI de recurso de uma classe".to_owned()
        }
        Error::FilterWithSelectors => {
            "uma consulta não aceita nenhum seletor além de __cimnamespace".to_owned()
        }
        Error::TwoFilters => "a enumeração tem mais de um filtro".to_owned(),
        Error::FilteringNotSupported => "não há suporte para filtros".to_owned(),
        Error::FilteringRequired => {
            "só é possível enumerar todas as classes por meio de um filtro".to_owned()
        }
        Error::EnumerationMode => "não há suporte para o modo de enumeração".to_owned(),
        Error::PolymorphismMode => "não há suporte para o modo de polimorfismo".to_owned(),
        Error::EndTo => "não há suporte para EndTo".to_owned(),
        Error::Expires => "o prazo de expiração não é válido".to_owned(),
        Error::ExpiresAt => "o prazo de expiração deve ser uma duração".to_owned(),
        Error::NoContext => "o contexto de enumeração não é válido".to_owned(),
        Error::ContextBusy => "a enumeração está em uso por outra solicitação".to_owned(),
        Error::PullTimedOut => "nada foi encontrado no tempo previsto para o pull".to_owned(),

        Error::TimedOut => {
            "a operação não terminou dentro do tempo limite; ela continua por conta própria"
                .to_owned()
        }
        Error::AnswerTooLarge => "a resposta é maior do que MaxEnvelopeSize permite".to_owned(),
        Error::Unreportable => {
            "a operação foi concluída, mas a resposta é maior do que MaxEnvelopeSize permite"
                .to_owned()
        }
        Error::TooManyOperations => {
            "o usuário atingiu o limite de operações simultâneas".to_owned()
        }
        Error::NoRoomForEnumerations => {
            "o serviço atingiu o limite de enumerações abertas".to_owned()
        }
        Error::TooManyEnumerations => {
            "o usuário atingiu o limite de enumerações abertas".to_owned()
        }

        Error::Config(error) => config::pt_br::words(error),
        Error::Provider { source, .. } => provider(source),
    }
}

fn envelope(error: &soap::Error) -> String {
    match error {
        soap::Error::Xml(error) => [
            "a mensagem não é um XML dentro de seus limites: ",
            &xml(error),
        ]
        .concat(),
        soap::Error::VersionMismatch(namespace) => {
            format!("o envelope não é SOAP 1.2, mas do namespace {namespace}")
        }
        soap::Error::NotAnEnvelope => "o documento não é um envelope SOAP".to_owned(),
        soap::Error::NoBody => "o envelope não tem corpo".to_owned(),
        soap::Error::Malformed => "o envelope tem mais do que um cabeçalho e um corpo".to_owned(),
    }
}

fn xml(error: &xml::Error) -> String {
    match error {
        // What exactly is for the log, in English.
        xml::Error::NotWellFormed(_) => "ele não é bem formado".to_owned(),
        xml::Error::Doctype => "não se aceita uma declaração de tipo de documento".to_owned(),
        xml::Error::TooDeep => "os elementos estão aninhados demais".to_owned(),
        xml::Error::TooManyElements => "há elementos demais".to_owned(),
        xml::Error::TooManyAttributes => "há atributos demais".to_owned(),
        xml::Error::TooLarge => "ele é grande demais".to_owned(),
        xml::Error::UndeclaredPrefix(prefix) => format!("o prefixo {prefix} não foi declarado"),
    }
}

fn body(error: BodyError) -> String {
    match error {
        BodyError::Empty => "é necessária uma representação".to_owned(),
        BodyError::NotOfClass => "seu elemento não tem o nome da classe".to_owned(),
        BodyError::NotOfAction(name) => format!("a ação exige {name}"),
        BodyError::NotPositive(name) => format!("{name} deve ser um número positivo"),
    }
}

fn fragment(error: FragmentError) -> &'static str {
    match error {
        FragmentError::Embedded => "uma instância incorporada é definida por inteiro",
        FragmentError::Array => "uma matriz é definida por inteiro",
        FragmentError::Position => "não há valor nessa posição",
        FragmentError::Attribute => "um atributo não pode ser definido",
        FragmentError::Missing => "falta XmlFragment",
        FragmentError::Other => "ele deve conter o que a expressão indica",
    }
}

fn read(error: &ReadError) -> String {
    match error {
        ReadError::Unknown(name) => format!("{name} não é conhecido"),
        ReadError::Type { name, expected } => format!("{name} não é {}", kind(*expected)),
        ReadError::Twice(name) => format!("{name} aparece mais de uma vez"),
        ReadError::Missing(name) => format!("falta {name}"),
        ReadError::Fixed(name) => format!("{name} não pode ser fornecido"),
    }
}

fn kind(expected: Expected) -> String {
    match expected {
        Expected::Simple => "um valor simples".to_owned(),
        Expected::Boolean => "true nem false".to_owned(),
        Expected::Unsigned(bits) => format!("um número de {bits} bits"),
        Expected::Signed(bits) => format!("um número com sinal de {bits} bits"),
        Expected::Instance => "uma instância incorporada".to_owned(),
        Expected::Givable => "um valor que se possa fornecer".to_owned(),
    }
}

fn provider(error: &provider::Error) -> String {
    match error {
        provider::Error::NotFound => "essa instância não existe".to_owned(),
        provider::Error::BadKey { name, value } => {
            format!("{name} não é a chave de uma instância: {value}")
        }
        provider::Error::Denied => "o acesso foi negado".to_owned(),
        provider::Error::NotSupported => "a classe não oferece suporte a esta operação".to_owned(),
        provider::Error::BadValue(value) => bad_value(value),
        provider::Error::Failed { code, about } => {
            let message = code.numbered(Language::Portuguese);
            let about = match about {
                About::Nothing => String::new(),
                About::Value(value) => bad_value(value),
                About::Detail(detail) => names(detail),
            };
            if about.is_empty() {
                message
            } else {
                [&message, ": ", &about].concat()
            }
        }
        provider::Error::Unavailable => "o serviço não está disponível".to_owned(),
    }
}

fn bad_value(value: &BadValue) -> String {
    let name = &value.name;
    match &value.wrong {
        Wrong::Missing => format!("falta {name}"),
        Wrong::Null => format!("{name} não pode ser nulo"),
        Wrong::Type => format!("{name} é do tipo errado"),
        Wrong::Empty => format!("{name} está vazio"),
        Wrong::TooLong(most) => format!("{name} tem mais de {most} caracteres"),
        Wrong::NotAmong { value, allowed } => {
            format!("{name} {value} não está entre {allowed}")
        }
        Wrong::NotInForce(value) => format!("{name} {value} não está disponível"),
        Wrong::OnlyWith(other) => format!("{name} só pode ser usado com {other}"),
        Wrong::Character => format!("{name} contém um caractere que não pode ser enviado"),
        Wrong::NotHash => format!("{name} deve conter os 20 octetos de um hash SHA-1"),
        Wrong::NotStore => format!("{name} não é o nome de um repositório de certificados"),
        Wrong::NotSha256 => format!("{name} deve ter 64 dígitos hexadecimais"),
        Wrong::NotRanges => format!("{name} deve ter a forma posição:tamanho, com vírgulas"),
        Wrong::NotHeaders => {
            format!("{name} tem uma linha que não pode ser enviada como cabeçalho")
        }
        Wrong::NotSettable => format!("{name} não pode receber este valor"),
    }
}

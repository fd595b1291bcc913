//! What is wrong with a filter, in Brazilian Portuguese.

use crate::wsman::error::Unfound;
use crate::wsman::filter::FilterError;
use crate::wsman::filter::reason::Expected;
use crate::wsman::filter::reason::Feature;
use crate::wsman::filter::reason::Reason;

/// Why a filter is refused.
pub(super) fn refused(error: &FilterError) -> String {
    match error {
        FilterError::Dialect => "não há suporte para o dialeto do filtro".to_owned(),
        FilterError::Invalid { reason, .. } => words(reason),
    }
}

/// What a filter names, and is not there.
pub(super) fn unfound(source: &Unfound) -> String {
    match source {
        Unfound::Namespace(name) => format!("não existe o namespace {name}"),
        Unfound::Class(name) => format!("não existe a classe {name} nesse namespace"),
        Unfound::Object(class) => format!("essa instância de {class} não existe"),
        Unfound::Keys(class) => format!("as chaves não indicam uma instância de {class}"),
    }
}

fn words(reason: &Reason) -> String {
    match reason {
        Reason::Unexpected { at, expected } => {
            format!("esperava-se {} no caractere {at}", expectation(*expected))
        }
        Reason::EndsEarly(expected) => {
            format!("esperava-se {} no final", expectation(*expected))
        }
        Reason::Unclosed(at) => format!("o que se abre no caractere {at} não é fechado"),
        Reason::Escape(at) => {
            format!("a barra invertida no caractere {at} deve ser duplicada ou preceder uma aspa")
        }
        Reason::Content(expected) => format!("o filtro deve conter {}", expectation(*expected)),
        Reason::Twice(name) => format!("{name} aparece mais de uma vez"),
        Reason::Quotes(name) => format!("o valor de {name} não pode conter aspas"),
        Reason::UnknownProperty(name) => format!("a classe não tem a propriedade {name}"),
        Reason::NotComparable(name) => {
            format!("a propriedade {name} não pode ser comparada dessa forma")
        }
        Reason::NotAnObject(uri) => {
            format!("o objeto não é endereçado pela URI de uma classe: {uri}")
        }
        Reason::NotAnEvent(class) => format!("{class} não é uma classe de eventos"),
        Reason::NeedsWithin(class) => {
            format!("WITHIN é obrigatório para eventos da classe {class}")
        }
        Reason::GroupNeedsWithin(at) => {
            format!("WITHIN é obrigatório após GROUP no caractere {at}")
        }
        Reason::NotSupported(feature) => format!("não há suporte para {}", what(*feature)),
        Reason::TooLong => "o filtro é longo demais".to_owned(),
        Reason::TooDeep => "o filtro tem níveis de aninhamento demais".to_owned(),
        Reason::TooManyTerms => "o filtro tem termos demais".to_owned(),
    }
}

fn expectation(expected: Expected) -> String {
    match expected {
        Expected::Keyword(word) => word.to_owned(),
        Expected::Word => "um nome, uma constante ou um operador".to_owned(),
        Expected::Class => "o nome de uma classe".to_owned(),
        Expected::Name => "um nome".to_owned(),
        Expected::Property => "o nome de uma propriedade".to_owned(),
        Expected::Constant => "uma constante".to_owned(),
        Expected::Quoted => "um texto entre aspas".to_owned(),
        Expected::Number => "um número".to_owned(),
        Expected::Operator => "um operador".to_owned(),
        Expected::ObjectPath => "o caminho de uma instância entre chaves".to_owned(),
        Expected::Key => "uma chave".to_owned(),
        Expected::Step => "um passo de um caminho".to_owned(),
        Expected::End => "o fim".to_owned(),
        Expected::Text => "texto".to_owned(),
        Expected::Element(name) => format!("um elemento {name}"),
    }
}

fn what(feature: Feature) -> &'static str {
    match feature {
        Feature::Events => "consultas de eventos",
        Feature::Classes => "consultas de classes",
        Feature::Functions => "funções",
        Feature::Axes => "eixos",
        Feature::Attributes => "atributos",
        Feature::Positions => "posições",
        Feature::Unions => "uniões",
        Feature::Calculations => "cálculos",
        Feature::Wildcards => "curingas de propriedades",
    }
}

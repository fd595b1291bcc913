//! CIM classes and instances, and their form in XML (DSP0230, [MS-WSMV]
//! 2.2.4), for whatever classes the MOF files of `schemas/` define.

mod catalog;
pub(crate) mod cim_xml;
mod class;
mod condition;
mod flavor;
mod inherit;
mod mof;
mod value;
pub(crate) mod xml;

pub(crate) use catalog::Catalog;
pub(crate) use class::Class;
pub(crate) use class::Method;
pub(crate) use class::Origin;
pub(crate) use class::Parameter;
pub(crate) use class::Property;
pub(crate) use class::Qualifier;
pub(crate) use class::Type;
pub(crate) use condition::Comparison;
pub(crate) use condition::Condition;
pub(crate) use condition::Literal;
pub(crate) use condition::Part;
pub(crate) use condition::Pattern;
#[cfg(fuzzing)]
pub(crate) use mof::parse as parse_mof;
pub(crate) use value::Instance;
pub(crate) use value::NotInSchema;
pub(crate) use value::Value;
pub(crate) use value::Values;

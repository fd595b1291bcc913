//! `associationFilter`: what lies around one instance (DSP0227 8.3).

use crate::wsman::resource;
use crate::wsman::resource::Form;
use crate::wsman::resource::ResourceUri;
use crate::wsman::selector::CIM_NAMESPACE;
use crate::xml::Element;
use crate::xml::ns;

use super::Association;
use super::FilterError;
use super::reason::Expected;
use super::reason::Reason;
use super::selector::selectors;
use super::shorten;
use super::token;

/// Reads what `wsman:Filter` holds: `b:AssociatedInstances` or
/// `b:AssociationInstances`. What narrows the answer is checked and has no
/// effect, as in WQL.
///
/// # Errors
///
/// [`FilterError::Invalid`].
pub(super) fn parse(filter: &Element<'_>) -> Result<Association, FilterError> {
    let [wanted] = filter.children() else {
        return Err(Reason::Content(Expected::Element("AssociatedInstances")).into());
    };
    if wanted.ns() != ns::CIMBINDING
        || !matches!(
            wanted.local(),
            "AssociatedInstances" | "AssociationInstances"
        )
    {
        return Err(Reason::Content(Expected::Element("AssociatedInstances")).into());
    }
    let is_associated = wanted.local() == "AssociatedInstances";
    let mut object = None;
    let mut seen: Vec<&str> = Vec::new();
    for element in wanted.children() {
        if element.ns() != ns::CIMBINDING {
            continue;
        }
        let local = element.local();
        match local {
            "Object" => object = Some(element),
            "ResultClassName" | "Role" => name(element)?,
            "AssociationClassName" | "ResultRole" if is_associated => name(element)?,
            "IncludeResultProperty" => {
                name(element)?;
                continue;
            }
            _ => return Err(Reason::Content(Expected::Element("Object")).into()),
        }
        if seen.contains(&local) {
            return Err(Reason::Twice(local.to_owned()).into());
        }
        seen.push(local);
    }
    let object = object.ok_or(Reason::Content(Expected::Element("Object")))?;
    Ok(instance(object)?)
}

/// An empty one means none.
fn name(element: &Element<'_>) -> Result<(), Reason> {
    let name = element.text().trim();
    if name.is_empty() || token::is_name(name) {
        return Ok(());
    }
    Err(Reason::Content(Expected::Name))
}

/// The object is an endpoint reference, or holds one.
fn instance(object: &Element<'_>) -> Result<Association, Reason> {
    let reference = addressing(object, "EndpointReference").unwrap_or(object);
    let parameters = addressing(reference, "ReferenceParameters")
        .or_else(|| addressing(reference, "ReferenceProperties"))
        .ok_or(Reason::Content(Expected::Element("ReferenceParameters")))?;
    let uri = parameters
        .child(ns::WSMAN, "ResourceURI")
        .map(|element| element.text().trim())
        .ok_or(Reason::Content(Expected::Element("ResourceURI")))?;
    let class = ResourceUri::parse(uri)
        .ok()
        .filter(|class| !class.is_all_classes())
        .ok_or_else(|| Reason::NotAnObject(shorten(uri)))?;
    let mut keys = match parameters.child(ns::WSMAN, "SelectorSet") {
        Some(set) => selectors(set)?,
        None => Vec::new(),
    };
    let named = keys
        .iter()
        .position(|(name, _)| name.eq_ignore_ascii_case(CIM_NAMESPACE))
        .map(|at| resource::namespace(&keys.remove(at).1));
    let namespace = match (class.form, named) {
        (Form::Dmtf, named) => named,
        (Form::Wmi, None) => Some(class.namespace),
        (Form::Wmi, Some(named)) if named.eq_ignore_ascii_case(&class.namespace) => Some(named),
        (Form::Wmi, Some(_)) => return Err(Reason::NotAnObject(shorten(uri))),
    };
    Ok(Association {
        class: class.class,
        namespace,
        keys,
    })
}

/// The child of that name, in either namespace of addressing.
fn addressing<'e>(parent: &'e Element<'e>, local: &str) -> Option<&'e Element<'e>> {
    parent
        .child(ns::ADDRESSING, local)
        .or_else(|| parent.child(ns::ADDRESSING10, local))
}

#[cfg(test)]
mod tests {
    use super::super::Filter;
    use super::super::tests::read_text;
    use super::*;

    const JOB: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/BitsClientJob";
    const WMI: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/ms/BitsClientJob";

    fn read(content: &str) -> Result<Association, FilterError> {
        // The dialect as the specification writes it, in another case.
        let filter = format!(
            "<w:Filter xmlns:w=\"{}\" xmlns:b=\"{}\" xmlns:a=\"{}\" xmlns:a10=\"{}\" \
             Dialect=\" http://schemas.dmtf.org/wbem/wsman/1/cimbinding/AssociationFilter \">\
             {content}</w:Filter>",
            ns::WSMAN,
            ns::CIMBINDING,
            ns::ADDRESSING,
            ns::ADDRESSING10,
        );
        match read_text(&filter)? {
            Filter::Association(association) => Ok(association),
            Filter::Select(select) => panic!("{select:?}"),
        }
    }

    fn parameters(uri: &str, selectors: &[(&str, &str)]) -> String {
        let selectors: Vec<String> = selectors
            .iter()
            .map(|(name, value)| format!("<w:Selector Name=\"{name}\">{value}</w:Selector>"))
            .collect();
        let selectors = selectors.concat();
        format!(
            "<a:Address>x</a:Address><a:ReferenceParameters><w:ResourceURI> {uri} \
             </w:ResourceURI><w:SelectorSet>{selectors}</w:SelectorSet></a:ReferenceParameters>"
        )
    }

    fn associated(object: &str, more: &str) -> String {
        format!(
            "<b:AssociatedInstances><b:Object>{object}</b:Object>{more}</b:AssociatedInstances>"
        )
    }

    fn job(namespace: Option<&str>) -> Association {
        Association {
            class: "BitsClientJob".to_owned(),
            namespace: namespace.map(str::to_owned),
            keys: vec![("JobId".to_owned(), "{1}".to_owned())],
        }
    }

    #[test]
    fn the_object_is_a_reference_in_either_form() {
        let key = ("JobId", "{1}");
        let dmtf = parameters(JOB, &[("__CIMNAMESPACE", r"root\ms"), key]);
        assert_eq!(read(&associated(&dmtf, "")), Ok(job(Some("root/ms"))));
        let without = parameters(JOB, &[key]);
        assert_eq!(read(&associated(&without, "")), Ok(job(None)));
        let wmi = parameters(WMI, &[key]);
        assert_eq!(read(&associated(&wmi, "")), Ok(job(Some("root/ms"))));
        let nested = format!("<a:EndpointReference>{wmi}</a:EndpointReference>");
        assert_eq!(read(&associated(&nested, "")), Ok(job(Some("root/ms"))));
        let old = wmi.replace("ReferenceParameters", "ReferenceProperties");
        assert_eq!(read(&associated(&old, "")), Ok(job(Some("root/ms"))));
        let addressing10 = wmi.replace("a:", "a10:");
        assert_eq!(
            read(&associated(&addressing10, "")),
            Ok(job(Some("root/ms")))
        );
        let equal = parameters(WMI, &[key, ("__cimnamespace", r"ROOT\MS")]);
        assert_eq!(read(&associated(&equal, "")), Ok(job(Some("ROOT/MS"))));
        let singleton = parameters(WMI, &[]);
        assert_eq!(
            read(&associated(&singleton, "")).map(|found| found.keys),
            Ok(Vec::new())
        );
    }

    #[test]
    fn what_narrows_the_answer_is_checked() {
        let object = parameters(WMI, &[("JobId", "{1}")]);
        let all = "<b:AssociationClassName>A</b:AssociationClassName><b:Role>r</b:Role>\
                   <b:ResultClassName> C </b:ResultClassName><b:ResultRole/>\
                   <b:IncludeResultProperty>p</b:IncludeResultProperty>\
                   <b:IncludeResultProperty>q</b:IncludeResultProperty>";
        assert_eq!(read(&associated(&object, all)), Ok(job(Some("root/ms"))));
        let references = |more: &str| {
            let whole = associated(&object, more);
            read(&whole.replace("AssociatedInstances", "AssociationInstances"))
        };
        assert_eq!(
            references("<b:ResultClassName>C</b:ResultClassName><b:Role>r</b:Role>"),
            Ok(job(Some("root/ms")))
        );
        let object_wanted = Reason::Content(Expected::Element("Object"));
        assert_eq!(
            references("<b:ResultRole>r</b:ResultRole>"),
            Err(object_wanted.clone().into())
        );
        for (more, wanted) in [
            ("<b:Colour/>", object_wanted),
            (
                "<b:Role>two words</b:Role>",
                Reason::Content(Expected::Name),
            ),
            (
                "<b:Role>r</b:Role><b:Role>r</b:Role>",
                Reason::Twice("Role".to_owned()),
            ),
            ("<b:Object/>", Reason::Twice("Object".to_owned())),
        ] {
            assert_eq!(
                read(&associated(&object, more)),
                Err(wanted.into()),
                "{more}"
            );
        }
    }

    #[test]
    fn what_is_no_reference_to_an_instance_is_refused() {
        let element = |name| FilterError::from(Reason::Content(Expected::Element(name)));
        for content in ["", "x", "<b:Associated/>", "<w:AssociatedInstances/>"] {
            assert_eq!(
                read(content),
                Err(element("AssociatedInstances")),
                "{content}"
            );
        }
        assert_eq!(read("<b:AssociatedInstances/>"), Err(element("Object")));
        assert_eq!(
            read(&associated("<a:Address>x</a:Address>", "")),
            Err(element("ReferenceParameters"))
        );
        assert_eq!(
            read(&associated("<a:ReferenceParameters/>", "")),
            Err(element("ResourceURI"))
        );
        let elsewhere = parameters(WMI, &[("__cimnamespace", "root/other")]);
        for object in [
            parameters("http://example.org/x", &[]),
            parameters("http://schemas.dmtf.org/wbem/wscim/1/*", &[]),
            elsewhere,
        ] {
            let Err(FilterError::Invalid {
                status: 0x8004_103A,
                reason: Reason::NotAnObject(_),
            }) = read(&associated(&object, ""))
            else {
                panic!("{object}");
            };
        }
        let twice = parameters(WMI, &[("JobId", "1"), ("jobid", "2")]);
        assert_eq!(
            read(&associated(&twice, "")),
            Err(Reason::Twice("jobid".to_owned()).into())
        );
    }
}

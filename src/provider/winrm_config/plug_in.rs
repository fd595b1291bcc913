//! `winrm/config/plugin`: what answers for resources. Here that is the service
//! itself, shown as the one plug-in.

use crate::cim::Catalog;
use crate::config::Settings;
use crate::document::Node;

/// Its name.
pub(super) const NAME: &str = "bitsd";

/// The document of the plug-in.
pub(super) fn document(settings: &Settings, resources: &Node) -> Node {
    let per_user = settings
        .wsman
        .max_concurrent_operations_per_user
        .to_string();
    let quotas = Node::branch("Quotas", Vec::new()).with(&[
        ("MaxConcurrentOperationsPerUser", &per_user),
        ("MaxConcurrentOperations", "4294967295"),
    ]);
    let parameters = Node::branch("InitializationParameters", Vec::new());
    Node::branch(
        "PlugInConfiguration",
        vec![parameters, resources.clone(), quotas],
    )
    .with(&[
        ("Name", NAME),
        ("Filename", NAME),
        ("SDKVersion", "1"),
        ("XmlRenderingType", "text"),
        ("Architecture", ARCHITECTURE),
        ("UseSharedProcess", "false"),
        ("AutoRestart", "true"),
        ("ProcessIdleTimeoutSec", "0"),
        ("RunAsUser", ""),
        ("RunAsPassword", ""),
        ("OutputBufferingMode", "Block"),
        ("Enabled", "true"),
    ])
}

/// The resources that there are, what each can do, and who may: `rights` is a
/// security descriptor.
pub(super) fn resources(catalog: &Catalog, rights: &str) -> Node {
    let mut namespaces: Vec<&str> = catalog
        .classes()
        .iter()
        .filter(|class| Catalog::is_addressable(class))
        .map(|class| class.namespace.as_str())
        .collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let mut all: Vec<Node> = namespaces
        .iter()
        .map(|namespace| resource(&[WMI, namespace].concat(), "false", ALL, rights))
        .collect();
    all.push(resource(DMTF, "false", ALL, rights));
    all.push(resource(DMTF_ALL, "true", &["Enumerate"], rights));
    all.push(resource(CIM_XML, "true", &["Get", "Enumerate"], rights));
    Node::branch("Resources", all)
}

fn resource(uri: &str, exact: &str, verbs: &[&str], rights: &str) -> Node {
    let security = Node::branch("Security", Vec::new()).with(&[
        ("Uri", uri),
        ("ExactMatch", exact),
        ("Sddl", rights),
    ]);
    let mut children = vec![security];
    for verb in verbs {
        let capability = Node::branch("Capability", Vec::new()).with(&[("Type", verb)]);
        // Fragments and filters are those of classes, not of their schema.
        let is_class = uri != CIM_XML;
        children.push(match *verb {
            "Get" | "Put" if is_class => capability.with(&[("SupportsFragment", "true")]),
            "Enumerate" if is_class => capability.with(&[("SupportsFiltering", "true")]),
            _ => capability,
        });
    }
    Node::branch("Resource", children).with(&[
        ("ResourceUri", uri),
        ("SupportsOptions", "true"),
        ("ExactMatch", exact),
    ])
}

const ALL: &[&str] = &["Get", "Put", "Create", "Delete", "Invoke", "Enumerate"];

const ARCHITECTURE: &str = if cfg!(target_pointer_width = "64") {
    "64"
} else {
    "32"
};

const WMI: &str = "http://schemas.microsoft.com/wbem/wsman/1/wmi/";
const DMTF: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema";
const DMTF_ALL: &str = "http://schemas.dmtf.org/wbem/wscim/1/*";
const CIM_XML: &str = "http://schemas.dmtf.org/wbem/cim-xml/2/cim-schema/2/*";

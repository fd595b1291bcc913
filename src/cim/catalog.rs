//! Every class that the service knows, from the files of `schemas/`.

use std::sync::Arc;

use super::Class;
use super::Qualifier;
use super::Type;
use super::Value;
use super::inherit;
use super::inherit::Mismatch;
use super::mof;

/// Every class, found by namespace and name.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    classes: Vec<Arc<Class>>,
}

/// The schemas do not make a catalog.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum CatalogError {
    /// A file is no MOF.
    #[error("{file}: {source}")]
    Mof {
        /// Its name below `schemas/`.
        file: &'static str,
        /// What is wrong.
        source: mof::MofError,
    },
    /// Two classes of one namespace have the same name.
    #[error("class {0} is defined twice")]
    Twice(String),
    /// A class does not fit the one that it is derived from.
    #[error("class {class}: {source}")]
    Derived {
        /// The class.
        class: String,
        /// Why.
        source: Mismatch,
    },
    /// A class embeds one that is not there.
    #[error("class {class} embeds {embedded}, which is not defined")]
    Missing {
        /// The class.
        class: String,
        /// What it embeds.
        embedded: String,
    },
    /// An embedded class embeds another: instances are written one level deep.
    #[error("class {0} is embedded and embeds another")]
    TooDeep(String),
}

impl Catalog {
    /// The classes of `schemas/`.
    ///
    /// # Errors
    ///
    /// [`CatalogError`] that names the file, or the class.
    pub(crate) fn bundled() -> Result<Self, CatalogError> {
        Self::from_mof(&FILES)
    }

    /// The classes of Microsoft's namespace alone.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_bits() -> Result<Self, CatalogError> {
        Self::from_mof(&FILES[..1])
    }

    fn from_mof(files: &[Schema<'_>]) -> Result<Self, CatalogError> {
        let mut declared: Vec<Class> = Vec::new();
        for Schema { file, text, base } in files {
            let classes = mof::parse(text).map_err(|source| CatalogError::Mof { file, source })?;
            let known = base.map(|base| shared(&declared, base, &classes));
            for class in known.into_iter().flatten().chain(classes) {
                if declared
                    .iter()
                    .any(|other| is_called(other, &class.namespace, &class.name))
                {
                    return Err(CatalogError::Twice(class.name));
                }
                declared.push(class);
            }
        }
        let classes = declared.iter().map(|class| {
            let whole = inherit::complete(class, |name| {
                declared
                    .iter()
                    .find(|other| is_called(other, &class.namespace, name))
            });
            whole.map(Arc::new).map_err(|source| CatalogError::Derived {
                class: class.name.clone(),
                source,
            })
        });
        let catalog = Self {
            classes: classes.collect::<Result<_, _>>()?,
        };
        catalog.check()?;
        Ok(catalog)
    }

    /// The classes of a MOF that a test made up.
    #[cfg(test)]
    pub(crate) fn of_mof(text: &str) -> Result<Self, CatalogError> {
        Self::from_mof(&[Schema {
            file: "test.mof",
            text,
            base: None,
        }])
    }

    fn check(&self) -> Result<(), CatalogError> {
        for class in &self.classes {
            for name in embedded(class).chain(taken(class)) {
                let Some(inner) = self.class(&class.namespace, name) else {
                    return Err(CatalogError::Missing {
                        class: class.name.clone(),
                        embedded: name.to_owned(),
                    });
                };
                if embedded(inner).next().is_some() {
                    return Err(CatalogError::TooDeep(inner.name.clone()));
                }
            }
        }
        Ok(())
    }

    /// The class with this name in this namespace, both in any case.
    pub(crate) fn class(&self, namespace: &str, name: &str) -> Option<&Arc<Class>> {
        self.classes
            .iter()
            .find(|class| is_called(class, namespace, name))
    }

    /// Every class, in the order of the files.
    pub(crate) fn classes(&self) -> &[Arc<Class>] {
        &self.classes
    }

    /// The class has instances of its own: it has a key and is not abstract.
    pub(crate) fn is_addressable(class: &Class) -> bool {
        class.keys().next().is_some() && !class.is_abstract()
    }

    /// The classes whose instances stand inside those of `class`, or that its
    /// methods take.
    pub(crate) fn parts(&self, class: &Class) -> Vec<Arc<Class>> {
        let mut names: Vec<&str> = embedded(class).chain(taken(class)).collect();
        names.sort_unstable();
        names.dedup();
        names
            .into_iter()
            .filter_map(|name| self.class(&class.namespace, name).cloned())
            .collect()
    }
}

/// The classes of the namespace `base` that those of `classes` need, as they
/// are known in their namespace: under it, and without instances of their own.
/// So a namespace is whole for clients that read its classes, and what is of
/// the classes of `base` stays theirs.
fn shared(declared: &[Class], base: &str, classes: &[Class]) -> Vec<Class> {
    let Some(namespace) = classes.first().map(|class| class.namespace.clone()) else {
        return Vec::new();
    };
    let of_base = declared.iter().filter(|class| class.namespace == base);
    of_base
        .map(|class| {
            let mut known = Class {
                namespace: namespace.clone(),
                ..class.clone()
            };
            if known.keys().next().is_some() && !known.is_abstract() {
                known.qualifiers.retain(|qualifier| {
                    !["dynamic", "provider"]
                        .iter()
                        .any(|name| qualifier.name.eq_ignore_ascii_case(name))
                });
                known.qualifiers.push(Qualifier {
                    name: "abstract".to_owned(),
                    values: vec![Value::Boolean(true)],
                    is_array: false,
                    is_propagated: false,
                });
            }
            known
        })
        .collect()
}

/// Names and namespaces are compared in any case.
fn is_called(class: &Class, namespace: &str, name: &str) -> bool {
    class.name.eq_ignore_ascii_case(name) && class.namespace.eq_ignore_ascii_case(namespace)
}

/// The names of the classes whose instances stand inside those of `class`.
pub(crate) fn embedded(class: &Class) -> impl Iterator<Item = &str> {
    class
        .properties
        .iter()
        .filter_map(|property| match &property.kind {
            Type::Instance(name) => Some(name.as_str()),
            _ => None,
        })
}

/// The names of the classes whose instances the methods of `class` take.
fn taken(class: &Class) -> impl Iterator<Item = &str> {
    let parameters = class.methods.iter().flat_map(|method| &method.parameters);
    parameters.filter_map(|parameter| match &parameter.kind {
        Type::Instance(name) => Some(name.as_str()),
        _ => None,
    })
}

/// A file of `schemas/`.
struct Schema<'t> {
    /// Its name there.
    file: &'static str,
    /// What stands in it.
    text: &'t str,
    /// The namespace whose classes its own may build on; an earlier file
    /// defines them.
    base: Option<&'t str>,
}

/// The files of `schemas/`, built in.
const FILES: [Schema<'static>; 2] = [
    Schema {
        file: "bits.mof",
        text: include_str!("../../schemas/bits.mof"),
        base: None,
    },
    Schema {
        file: "bitsd.mof",
        text: include_str!("../../schemas/bitsd.mof"),
        base: Some("root/microsoft/bits"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_namespace_is_whole_and_leaves_microsofts_as_it_is() {
        let catalog = Catalog::bundled().expect("schemas are correct");
        let alone = Catalog::of_bits().expect("schemas are correct");
        let of_bits = |class: &&Arc<Class>| class.namespace == "root/microsoft/bits";
        let bits: Vec<_> = catalog.classes().iter().filter(of_bits).collect();
        assert_eq!(bits, alone.classes().iter().collect::<Vec<_>>());
        let ours = |name| catalog.class("root/bitsd", name).expect("defined");
        for name in ["BitsClientJob", "BitsClientFile", "BitsdFileSpec"] {
            assert!(!Catalog::is_addressable(ours(name)), "{name}");
        }
        let job = ours("BitsdJob");
        assert!(Catalog::is_addressable(job) && job.is_a("BitsClientJob"));
        let base = alone
            .classes()
            .iter()
            .find(|class| class.name == "BitsClientJob");
        for property in &base.expect("defined").properties {
            let (_, own) = job.property(&property.name).expect("inherited");
            assert_eq!(
                (&own.kind, own.is_writable),
                (&property.kind, property.is_writable)
            );
        }
        let parts = catalog.parts(job);
        let parts: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(parts, ["BitsClientFile", "BitsdFileSpec"]);
    }

    #[test]
    fn the_job_class_is_what_managers_of_bits_expect() {
        let catalog = Catalog::bundled().expect("schemas are correct");
        let job = catalog
            .class("ROOT/Microsoft/BITS", "bitsclientjob")
            .expect("found in any case");
        assert_eq!(job.name, "BitsClientJob");
        let properties: Vec<&str> = job.properties.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(
            properties,
            [
                "JobId",
                "DisplayName",
                "Description",
                "Priority",
                "MinimumRetryDelay",
                "NoProgressTimeout",
                "Files",
                "JobCreationTime",
                "JobLastModificationTime",
                "JobCompletionTime",
                "BytesTotal",
                "BytesTransferred",
                "FilesTotal",
                "FilesTransferred",
                "TransientErrorCount",
                "State",
                "Owner"
            ]
        );
        let writable: Vec<&str> = job
            .properties
            .iter()
            .filter(|p| p.is_writable)
            .map(|p| p.name.as_str())
            .collect();
        assert_eq!(
            writable,
            [
                "DisplayName",
                "Description",
                "Priority",
                "MinimumRetryDelay",
                "NoProgressTimeout"
            ]
        );
        let methods: Vec<(&str, bool)> = job
            .methods
            .iter()
            .map(|m| (m.name.as_str(), m.is_static))
            .collect();
        assert_eq!(
            methods,
            [
                ("CreateJob", true),
                ("AddFile", false),
                ("SetJobState", false),
                ("GetError", false),
                ("SetCredentials", false),
                ("RemoveCredentials", false),
                ("SetClientCertificateById", false),
                ("SetClientCertificateByName", false),
                ("RemoveClientCertificate", false),
                ("SetProxySettings", false)
            ]
        );
        assert!(job.methods.iter().all(|m| m.returns == Type::Uint32));
        let bulk: Vec<&str> = job
            .properties
            .iter()
            .filter(|p| p.is_bulk)
            .map(|p| p.name.as_str())
            .collect();
        assert_eq!(bulk, ["Files"]);
    }

    #[test]
    fn a_file_is_embedded_and_has_no_address() {
        let catalog = Catalog::of_bits().expect("schemas are correct");
        let file = catalog
            .class("root/microsoft/bits", "BitsClientFile")
            .expect("defined");
        assert!(!Catalog::is_addressable(file));
        assert_eq!(file.properties.len(), 5);
        assert_eq!(catalog.classes().len(), 2);
    }

    #[test]
    fn classes_that_do_not_fit_together_are_refused() {
        let head = "#pragma namespace(\"r\") ";
        for (text, wanted) in [
            (
                "class A {}; class a {};",
                CatalogError::Twice("a".to_owned()),
            ),
            (
                "class A { [EmbeddedInstance(\"B\")] string X; };",
                CatalogError::Missing {
                    class: "A".to_owned(),
                    embedded: "B".to_owned(),
                },
            ),
            (
                "class A { [EmbeddedInstance(\"A\")] string X; };",
                CatalogError::TooDeep("A".to_owned()),
            ),
        ] {
            let text = format!("{head}{text}");
            assert_eq!(
                Catalog::from_mof(&[Schema {
                    file: "x.mof",
                    text: &text,
                    base: None,
                }])
                .expect_err("refused"),
                wanted
            );
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

        /// Whoever is derived from whom: it ends, in a catalog or a refusal.
        #[test]
        fn any_classes_make_a_catalog_or_are_refused(
            superclasses in proptest::collection::vec(0..8_usize, 0..8),
            embeds: bool,
        ) {
            let classes: Vec<String> = superclasses
                .iter()
                .enumerate()
                .map(|(at, superclass)| {
                    let part = if embeds { "[EmbeddedInstance(\"C0\")] string P;" } else { "" };
                    match superclass {
                        7 => format!("class C{at} {{ string S; {part} }};"),
                        other => format!("class C{at} : C{other} {{ string S{at}; {part} }};"),
                    }
                })
                .collect();
            let text = format!("#pragma namespace(\"r\") {}", classes.concat());
            if let Ok(catalog) = Catalog::of_mof(&text) {
                for class in catalog.classes() {
                    proptest::prop_assert_eq!(class.order.len(), class.properties.len());
                    proptest::prop_assert!(class.derivation.len() < catalog.classes().len());
                }
            }
        }
    }
}

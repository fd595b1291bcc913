//! Every class that the service knows, from the files of `schemas/`.

use std::sync::Arc;

use super::Class;
use super::Type;
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

    fn from_mof(files: &[(&'static str, &str)]) -> Result<Self, CatalogError> {
        let mut declared: Vec<Class> = Vec::new();
        for (file, text) in files {
            let classes = mof::parse(text).map_err(|source| CatalogError::Mof { file, source })?;
            for class in classes {
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
        Self::from_mof(&[("test.mof", text)])
    }

    fn check(&self) -> Result<(), CatalogError> {
        for class in &self.classes {
            for name in embedded(class) {
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

    /// The classes whose instances stand inside those of `class`.
    pub(crate) fn parts(&self, class: &Class) -> Vec<Arc<Class>> {
        embedded(class)
            .filter_map(|name| self.class(&class.namespace, name).cloned())
            .collect()
    }
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

/// The files of `schemas/`, built in.
const FILES: [(&str, &str); 1] = [("bits.mof", include_str!("../../schemas/bits.mof"))];

#[cfg(test)]
mod tests {
    use super::*;

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
        let catalog = Catalog::bundled().expect("schemas are correct");
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
                Catalog::from_mof(&[("x.mof", &text)]).expect_err("refused"),
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

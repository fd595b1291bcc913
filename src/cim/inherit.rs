//! What a class has from those that it is derived from (DSP0004 5.1.2.8): all
//! their properties and methods, before its own, and those of their qualifiers
//! that go to derived classes. What it declares again, under the same name, it
//! overrides.

use super::Class;
use super::Method;
use super::Origin;
use super::Property;
use super::Qualifier;
use super::flavor::flavor;

/// A class does not fit its superclass.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Mismatch {
    /// There is no such superclass in the namespace.
    #[error("its superclass {0} is not defined")]
    NoSuperclass(String),
    /// It is derived from itself.
    #[error("it is derived from itself")]
    Cycle,
    /// A property or method of that name is inherited, and is another thing.
    #[error("{0} is inherited as something else")]
    Feature(String),
    /// A qualifier that cannot be overridden is.
    #[error("{feature} cannot change the qualifier {qualifier} that it inherits")]
    Fixed {
        /// The property, method or class.
        feature: String,
        /// The qualifier.
        qualifier: String,
    },
    /// A class with keys has those that it inherits.
    #[error("the key {0} is added to those that are inherited")]
    Key(String),
}

/// `class`, as it was declared, with all that it inherits; `declared` finds
/// another class of its namespace.
///
/// # Errors
///
/// [`Mismatch`].
pub(super) fn complete<'c>(
    class: &'c Class,
    declared: impl Fn(&str) -> Option<&'c Class>,
) -> Result<Class, Mismatch> {
    let mut line = vec![class];
    while let Some(name) = line.last().and_then(|class| class.derivation.first()) {
        let superclass = declared(name).ok_or_else(|| Mismatch::NoSuperclass(name.clone()))?;
        if line.iter().any(|class| std::ptr::eq(*class, superclass)) {
            return Err(Mismatch::Cycle);
        }
        line.push(superclass);
    }
    let mut whole: Option<Class> = None;
    for class in line.into_iter().rev() {
        whole = Some(match whole {
            None => class.clone(),
            Some(superclass) => derive(&superclass, class)?,
        });
    }
    whole.ok_or(Mismatch::Cycle)
}

/// `class` below a superclass that is whole.
fn derive(superclass: &Class, class: &Class) -> Result<Class, Mismatch> {
    let mut derivation = vec![superclass.name.clone()];
    derivation.extend(superclass.derivation.iter().cloned());
    let mut whole = Class {
        derivation,
        qualifiers: qualifiers(&class.name, &superclass.qualifiers, &class.qualifiers)?,
        properties: Vec::new(),
        methods: Vec::new(),
        ..class.clone()
    };
    for inherited in &superclass.properties {
        if class.method(&inherited.name).is_some() {
            return Err(Mismatch::Feature(inherited.name.clone()));
        }
        whole
            .properties
            .push(match class.property(&inherited.name) {
                Some((_, own)) => overridden_property(inherited, own)?,
                None => Property {
                    origin: propagated(&inherited.origin),
                    qualifiers: handed_down(&inherited.qualifiers),
                    ..inherited.clone()
                },
            });
    }
    let has_keys = superclass.keys().next().is_some();
    for own in &class.properties {
        if superclass.property(&own.name).is_some() {
            continue;
        }
        if has_keys && own.is_key {
            return Err(Mismatch::Key(own.name.clone()));
        }
        whole.properties.push(own.clone());
    }
    for inherited in &superclass.methods {
        if class.property(&inherited.name).is_some() {
            return Err(Mismatch::Feature(inherited.name.clone()));
        }
        whole.methods.push(match class.method(&inherited.name) {
            Some(own) => overridden_method(inherited, own)?,
            None => Method {
                origin: propagated(&inherited.origin),
                qualifiers: handed_down(&inherited.qualifiers),
                ..inherited.clone()
            },
        });
    }
    let own = class.methods.iter();
    whole.methods.extend(
        own.filter(|own| superclass.method(&own.name).is_none())
            .cloned(),
    );
    whole.sort();
    Ok(whole)
}

fn overridden_property(inherited: &Property, own: &Property) -> Result<Property, Mismatch> {
    if (&inherited.kind, inherited.is_array) != (&own.kind, own.is_array) {
        return Err(Mismatch::Feature(inherited.name.clone()));
    }
    let qualifiers = qualifiers(&inherited.name, &inherited.qualifiers, &own.qualifiers)?;
    let property = Property::new(
        inherited.name.clone(),
        own.kind.clone(),
        own.is_array,
        overridden(&inherited.origin),
        qualifiers,
    );
    Ok(property)
}

/// What calls the inherited method calls its own too: the parameters are the
/// same, and more are optional; fewer may have to be given.
fn overridden_method(inherited: &Method, own: &Method) -> Result<Method, Mismatch> {
    let (same, more) = own
        .parameters
        .split_at(inherited.parameters.len().min(own.parameters.len()));
    let fits = inherited.returns == own.returns
        && inherited.is_static == own.is_static
        && inherited.parameters.len() == same.len()
        && inherited.parameters.iter().zip(same).all(|(one, other)| {
            one.name.eq_ignore_ascii_case(&other.name)
                && one.kind == other.kind
                && one.is_array == other.is_array
                && (one.is_in, one.is_out) == (other.is_in, other.is_out)
                && (other.is_optional || !one.is_optional)
        })
        && more
            .iter()
            .all(|parameter| parameter.is_optional || !parameter.is_in);
    if !fits {
        return Err(Mismatch::Feature(inherited.name.clone()));
    }
    Ok(Method {
        name: inherited.name.clone(),
        origin: overridden(&inherited.origin),
        qualifiers: qualifiers(&inherited.name, &inherited.qualifiers, &own.qualifiers)?,
        ..own.clone()
    })
}

/// The qualifiers of `feature`: its own, then those that it inherits and does
/// not change.
fn qualifiers(
    feature: &str,
    inherited: &[Qualifier],
    own: &[Qualifier],
) -> Result<Vec<Qualifier>, Mismatch> {
    let mut all = own.to_vec();
    for inherited in handed_down(inherited) {
        let changed = own
            .iter()
            .find(|own| own.name.eq_ignore_ascii_case(&inherited.name));
        match changed {
            None => all.push(inherited),
            Some(own) if own.values == inherited.values => {}
            Some(_) if flavor(&inherited.name).is_overridable => {}
            Some(_) => {
                return Err(Mismatch::Fixed {
                    feature: feature.to_owned(),
                    qualifier: inherited.name,
                });
            }
        }
    }
    Ok(all)
}

/// Those that go to derived classes.
fn handed_down(qualifiers: &[Qualifier]) -> Vec<Qualifier> {
    let handed_down = qualifiers
        .iter()
        .filter(|qualifier| flavor(&qualifier.name).to_subclass);
    handed_down
        .map(|qualifier| Qualifier {
            is_propagated: true,
            ..qualifier.clone()
        })
        .collect()
}

fn propagated(origin: &Origin) -> Origin {
    Origin {
        class: origin.class.clone(),
        is_propagated: true,
    }
}

/// What is overridden still comes from the class that brought it in.
fn overridden(origin: &Origin) -> Origin {
    Origin {
        class: origin.class.clone(),
        is_propagated: false,
    }
}

#[cfg(test)]
mod tests {
    use crate::cim::Catalog;

    const HEAD: &str = "#pragma namespace(\"root/x\")\n";

    fn catalog(text: &str) -> Result<Catalog, String> {
        Catalog::of_mof(&format!("{HEAD}{text}")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_class_has_what_its_superclasses_have_before_its_own() {
        // Derived before its superclass: the order of the file is no matter.
        let catalog = catalog(
            "class C : b { uint8 Own; [Description(\"new\")] string middle; };
             [Version(\"1\"), Description(\"b\")] class B : A { [write, Description(\"m\")]
                 string Middle; uint32 M(); };
             [abstract] class A { [key, read] string Id; [static] uint32 S([in] uint8 N); };",
        )
        .expect("they fit");
        let class = catalog.class("root/x", "C").expect("defined");
        assert_eq!(class.derivation, ["B", "A"]);
        assert!(class.is_a("a") && class.is_a("B") && class.is_a("c") && !class.is_a("D"));
        let properties: Vec<_> = class
            .properties
            .iter()
            .map(|p| {
                (
                    p.name.as_str(),
                    p.origin.class.as_str(),
                    p.origin.is_propagated,
                )
            })
            .collect();
        assert_eq!(
            properties,
            [
                ("Id", "A", true),
                ("Middle", "B", false),
                ("Own", "C", false)
            ]
        );
        assert_eq!(class.order, [0, 1, 2]);
        let middle = &class.properties[1];
        assert!(middle.is_writable, "a qualifier that is inherited counts");
        let qualifiers: Vec<_> = middle
            .qualifiers
            .iter()
            .map(|q| (q.name.as_str(), q.is_propagated))
            .collect();
        assert_eq!(qualifiers, [("Description", false), ("write", true)]);
        let methods: Vec<_> = class
            .methods
            .iter()
            .map(|m| (m.name.as_str(), m.origin.class.as_str(), m.is_static))
            .collect();
        assert_eq!(methods, [("S", "A", true), ("M", "B", false)]);
        assert!(Catalog::is_addressable(class), "the key is inherited");
        let names: Vec<&str> = class.qualifiers.iter().map(|q| q.name.as_str()).collect();
        assert_eq!(names, ["Description"], "Version and abstract stay behind");
        let base = catalog.class("root/x", "A").expect("defined");
        assert!(!Catalog::is_addressable(base), "it is abstract");
    }

    #[test]
    fn classes_that_do_not_fit_their_superclass_are_refused() {
        for (text, wanted) in [
            ("class B : A {};", "superclass A is not defined"),
            ("class A : A {};", "derived from itself"),
            (
                "class A : C {}; class B : A {}; class C : B {};",
                "derived from itself",
            ),
            (
                "class A { string X; }; class B : A { uint8 x; };",
                "X is inherited as something else",
            ),
            (
                "class A { string X; }; class B : A { string X[]; };",
                "X is inherited as something else",
            ),
            (
                "class A { string X; }; class B : A { uint32 X(); };",
                "X is inherited as something else",
            ),
            (
                "class A { uint32 M(); }; class B : A { uint32 M(uint8 N); };",
                "M is inherited as something else",
            ),
            (
                "class A { uint32 M([in, optional] uint8 N); };\
                 class B : A { uint32 M([in] uint8 N); };",
                "M is inherited as something else",
            ),
            (
                "class A { [key] string X; }; class B : A { [key(false)] string X; };",
                "X cannot change the qualifier key",
            ),
            (
                "class A { [key] string X; }; class B : A { [key] string Y; };",
                "the key Y is added",
            ),
        ] {
            let error = catalog(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn a_method_may_ask_for_less_and_take_more() {
        let catalog = catalog(
            "class A { uint32 M([in] uint8 N); };\
             class B : A { uint32 M([in, optional] uint8 N, [in, optional] string S); };",
        );
        let catalog = catalog.expect("it can be called as before");
        let method = catalog
            .class("root/x", "B")
            .and_then(|class| class.method("M"));
        assert_eq!(method.map(|method| method.parameters.len()), Some(2));
    }

    #[test]
    fn superclasses_are_those_of_the_same_namespace() {
        let text = "class A {};\n#pragma namespace(\"root/y\")\nclass B : A {};";
        assert!(catalog(text).is_err());
    }
}

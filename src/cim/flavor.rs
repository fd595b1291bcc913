//! How qualifiers behave towards derived classes and instances (DSP0004 5.5,
//! and the pages of WMI's standard qualifiers). The MOF of `schemas/` writes no
//! flavors: they follow from the name, as for Windows' own classes.

/// The flavors of one qualifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flavor of its own")]
pub(crate) struct Flavor {
    /// A derived class may give it another value.
    pub(crate) is_overridable: bool,
    /// A derived class has it too.
    pub(crate) to_subclass: bool,
    /// Instances show it.
    pub(crate) to_instance: bool,
    /// Its value is for people, and may be translated.
    pub(crate) is_translatable: bool,
    /// Ours: clients do not see it.
    pub(crate) is_private: bool,
}

/// The flavors of the qualifier with this name, in any case.
pub(crate) fn flavor(name: &str) -> Flavor {
    USUAL
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map_or(PLAIN, |(_, flavor)| *flavor)
}

/// What a qualifier is unless it is known to be otherwise.
const PLAIN: Flavor = Flavor {
    is_overridable: true,
    to_subclass: true,
    to_instance: false,
    is_translatable: false,
    is_private: false,
};

/// Only of the very class.
const OWN: Flavor = Flavor {
    to_subclass: false,
    ..PLAIN
};

const TRANSLATABLE: Flavor = Flavor {
    is_translatable: true,
    ..PLAIN
};

const PRIVATE: Flavor = Flavor {
    is_private: true,
    ..PLAIN
};

const USUAL: [(&str, Flavor); 15] = [
    ("abstract", OWN),
    ("Description", TRANSLATABLE),
    ("DisplayName", TRANSLATABLE),
    (
        "dynamic",
        Flavor {
            to_instance: true,
            ..OWN
        },
    ),
    (
        "ID",
        Flavor {
            is_overridable: false,
            to_instance: true,
            ..OWN
        },
    ),
    ("implemented", OWN),
    ("in", OWN),
    (
        "key",
        Flavor {
            is_overridable: false,
            to_instance: true,
            ..PLAIN
        },
    ),
    ("out", OWN),
    (
        "provider",
        Flavor {
            to_instance: true,
            ..OWN
        },
    ),
    ("units", TRANSLATABLE),
    ("Values", TRANSLATABLE),
    (
        "Version",
        Flavor {
            is_translatable: true,
            ..OWN
        },
    ),
    ("Bulk", PRIVATE),
    ("Initial", PRIVATE),
];

use crate::wsman::tests::Bench;
use crate::wsman::tests::ID;

use super::*;

const NAMESPACE: &str = "root/microsoft/bits";

fn classes<'b>(bench: &'b Bench, namespace: Option<&'b str>) -> Classes<'b> {
    Classes {
        service: &bench.endpoint.service,
        namespace,
    }
}

/// The status of the refusal, or of what it says instead.
fn status(error: &Error) -> u32 {
    match error {
        Error::FilterUnfound(what) => what.status(),
        Error::NoSuchNamespace(_) => 0x8004_100E,
        Error::FilterNeedsClass => 1,
        Error::FilterWithSelectors => 2,
        Error::EnumerateWithKeys => 3,
        Error::UnexpectedSelector(_) => 4,
        other => unreachable!("{other}"),
    }
}

#[test]
fn a_query_names_its_class_and_other_filters_take_that_of_the_uri() {
    let bench = Bench::with_job();
    let key = [Selector {
        name: "jobid",
        value: ID,
    }];
    let namespace = [Selector {
        name: "__CimNamespace",
        value: NAMESPACE,
    }];
    let other = [Selector {
        name: "State",
        value: "3",
    }];
    let job = Ok("BitsClientJob");
    for (place, selectors, uri, from, wanted) in [
        (Some(NAMESPACE), &[][..], "*", Some("bitsclientJOB"), job),
        (
            Some("ROOT/Microsoft/bits"),
            &namespace,
            "*",
            Some("BitsClientJob"),
            job,
        ),
        (None, &[], "*", Some("BitsClientJob"), job),
        (
            Some(NAMESPACE),
            &[],
            "BitsClientFile",
            Some("BitsClientJob"),
            job,
        ),
        (
            Some(NAMESPACE),
            &[],
            "*",
            Some("BitsClientFile"),
            Ok("BitsClientFile"),
        ),
        (Some(NAMESPACE), &[], "BitsClientJob", None, job),
        (
            Some(NAMESPACE),
            &[],
            "*",
            Some("Win32_Process"),
            Err(0x8004_1010),
        ),
        (None, &[], "*", Some("Win32_Process"), Err(0x8004_1010)),
        (
            Some("root/cimv2"),
            &[],
            "*",
            Some("BitsClientJob"),
            Err(0x8004_100E),
        ),
        (Some(NAMESPACE), &[], "*", None, Err(1)),
        (Some(NAMESPACE), &key, "*", Some("BitsClientJob"), Err(2)),
        (
            Some(NAMESPACE),
            &key,
            "BitsClientJob",
            Some("BitsClientJob"),
            Err(2),
        ),
        (Some(NAMESPACE), &key, "BitsClientJob", None, Err(3)),
        (Some(NAMESPACE), &other, "BitsClientJob", None, Err(4)),
    ] {
        let classes = classes(&bench, place);
        let uri = classes.find(uri);
        let found = select_from(classes, selectors, uri, from);
        let found = found.map(|class| class.name.as_str());
        assert_eq!(found.map_err(|error| status(&error)), wanted, "{from:?}");
    }
}

#[tokio::test]
async fn an_association_begins_at_an_object_that_is_there() {
    let bench = Bench::with_job();
    let association = |class: &str, namespace: Option<&str>, keys: &[(&str, &str)]| Association {
        class: class.to_owned(),
        namespace: namespace.map(str::to_owned),
        keys: keys
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    };
    let (job, file) = ("bitsclientjob", "BitsClientFile");
    for (class, namespace, keys, wanted) in [
        (job, None, &[("jobID", ID)][..], Ok(())),
        (job, Some("root\\microsoft\\bits"), &[("JobId", ID)], Ok(())),
        (job, Some("root/cimv2"), &[("JobId", ID)], Err(0x8004_100E)),
        ("Win32_Process", None, &[("JobId", ID)], Err(0x8004_1010)),
        (job, None, &[("JobId", "{0}")], Err(0x8004_1002)),
        (job, None, &[("JobId", "bad")], Err(0x8004_1002)),
        (job, None, &[("", ID)], Ok(())),
        (job, None, &[("", ID), ("JobId", ID)], Err(0x8004_103A)),
        (job, None, &[], Err(0x8004_103A)),
        (job, None, &[("State", "3")], Err(0x8004_103A)),
        (
            job,
            None,
            &[("JobId", ID), ("State", "3")],
            Err(0x8004_103A),
        ),
        (job, None, &[("JobId", ID), ("jobid", ID)], Err(0x8004_103A)),
        (file, None, &[], Err(0x8004_1002)),
    ] {
        let association = association(class, namespace, keys);
        let classes = classes(&bench, Some(NAMESPACE));
        let found = check_object(classes, &bench.by, &association).await;
        assert_eq!(found.map_err(|error| status(&error)), wanted, "{keys:?}");
    }
}

#[test]
fn the_view_of_a_selection_has_what_its_items_show() {
    let bench = Bench::with_job();
    let classes = classes(&bench, None);
    let class = classes.find("BitsClientJob").expect("defined");
    let view = |mode, columns: Option<&[&str]>| {
        let columns = columns.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        let bound = Bound {
            condition: None,
            columns,
        };
        Selection::new(bound, class, mode, 0).view
    };
    let names = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
    let (state, key) = (&["State"][..], &["JobId", "State"][..]);
    assert_eq!(view(Mode::Object, None), None);
    assert_eq!(view(Mode::ObjectAndEpr, None), None);
    assert_eq!(view(Mode::Epr, None), names(&["JobId"]));
    assert_eq!(view(Mode::Epr, Some(state)), names(&["JobId"]));
    assert_eq!(view(Mode::Object, Some(state)), names(state));
    assert_eq!(
        view(Mode::ObjectAndEpr, Some(state)),
        names(&["State", "JobId"])
    );
    assert_eq!(view(Mode::ObjectAndEpr, Some(key)), names(key));
}

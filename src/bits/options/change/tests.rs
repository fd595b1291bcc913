use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

const KINDS: [JobType; 3] = [JobType::Download, JobType::Upload, JobType::UploadReply];

fn stage(kind: JobType, was_resumed: bool) -> Stage {
    Stage { kind, was_resumed }
}

fn reply() -> ReplyFile {
    ReplyFile {
        local_file: "/data/reply".to_owned(),
        path: PathBuf::from("/data/reply"),
    }
}

fn method(text: &str) -> OptionChange {
    OptionChange::Method(Some(text.to_owned()))
}

#[test]
fn every_option_has_its_time_and_its_type_of_job() {
    use Hresult as H;
    let (download, upload, reply_job) = (KINDS[0], KINDS[1], KINDS[2]);
    let late = Err(H::BG_E_READ_ONLY_PROPERTY_AFTER_RESUME);
    let other_type = Err(H::BG_E_PROPERTY_SUPPORTED_FOR_DOWNLOAD_JOBS_ONLY);
    let table = [
        (method("POST"), download, Ok(()), late),
        (method("PUT"), upload, Ok(()), late),
        (
            method("DELETE"),
            upload,
            Err(H::E_NOTIMPL),
            Err(H::E_NOTIMPL),
        ),
        (
            method("HEAD"),
            download,
            Err(H::E_INVALIDARG),
            Err(H::E_INVALIDARG),
        ),
        (
            method("A B"),
            download,
            Err(H::E_INVALIDARG),
            Err(H::E_INVALIDARG),
        ),
        (
            OptionChange::MaxDownloadSize(Some(1)),
            download,
            Ok(()),
            late,
        ),
        (
            OptionChange::MaxDownloadSize(Some(1)),
            upload,
            other_type,
            other_type,
        ),
        (
            OptionChange::MaxDownloadSize(Some(0)),
            download,
            Err(H::BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE),
            Err(H::BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE),
        ),
        (OptionChange::DynamicContent(true), download, Ok(()), late),
        (
            OptionChange::DynamicContent(true),
            reply_job,
            other_type,
            other_type,
        ),
        (OptionChange::RequireRanges(true), download, Ok(()), Ok(())),
        (
            OptionChange::RequireRanges(true),
            upload,
            other_type,
            other_type,
        ),
        (
            OptionChange::Reply(Some(reply())),
            reply_job,
            Ok(()),
            Ok(()),
        ),
        (
            OptionChange::Reply(Some(reply())),
            upload,
            Err(H::E_NOTIMPL),
            Err(H::E_NOTIMPL),
        ),
        (OptionChange::SecurityFlags(0xa1f), upload, Ok(()), Ok(())),
        (
            OptionChange::SecurityFlags(0x20),
            download,
            Err(H::E_NOTIMPL),
            Err(H::E_NOTIMPL),
        ),
        (
            OptionChange::SecurityFlags(0x300),
            download,
            Err(H::E_NOTIMPL),
            Err(H::E_NOTIMPL),
        ),
        (
            OptionChange::MaximumDownloadTime(Some(1)),
            upload,
            Ok(()),
            Ok(()),
        ),
        (
            OptionChange::StartAfter(Some(Timestamp::from_ticks(1))),
            upload,
            Ok(()),
            Ok(()),
        ),
        (
            OptionChange::Labels(vec!["a=b".to_owned()]),
            upload,
            Ok(()),
            Ok(()),
        ),
        (
            OptionChange::Labels(vec![" ".to_owned()]),
            upload,
            Err(H::E_INVALIDARG),
            Err(H::E_INVALIDARG),
        ),
        (OptionChange::CustomHeaders(true), download, Ok(()), Ok(())),
        (OptionChange::HeadersWriteOnly, download, Ok(()), Ok(())),
    ];
    for (change, kind, before, after) in table {
        for (was_resumed, wanted) in [(false, before), (true, after)] {
            let mut options = JobOptions::default();
            let done = options.set(change.clone(), stage(kind, was_resumed));
            assert_eq!(
                done.map_err(|refused| refused.code),
                wanted,
                "{change:?} {kind:?} {was_resumed}"
            );
            assert_eq!(options == JobOptions::default(), wanted.is_err());
        }
    }
}

#[test]
fn another_method_and_dynamic_content_exclude_each_other() {
    let at = stage(JobType::Download, false);
    let code = Hresult::BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD;
    for (first, second) in [
        (method("POST"), OptionChange::DynamicContent(true)),
        (OptionChange::DynamicContent(true), method("POST")),
    ] {
        let mut options = JobOptions::default();
        options.set(first, at).expect("alone");
        let refused = options.set(second, at).expect_err("not both");
        assert_eq!(refused.code, code);
    }
}

#[test]
fn the_usual_method_is_no_other_method() {
    for (kind, usual) in [(JobType::Download, "GET"), (JobType::Upload, "BITS_POST")] {
        let mut options = JobOptions::default();
        options
            .set(method(usual), stage(kind, true))
            .expect("as it is");
        assert_eq!(options, JobOptions::default());
    }
}

#[test]
fn ranges_and_hashes_are_for_downloads() {
    let mut options = JobOptions::default();
    let check = |options: &JobOptions, kind, ranges, hash| options.check_file(kind, ranges, hash);
    assert_eq!(check(&options, JobType::Download, true, true), Ok(()));
    assert_eq!(check(&options, JobType::Upload, false, false), Ok(()));
    for (ranges, hash) in [(true, false), (false, true)] {
        let refused = check(&options, JobType::Upload, ranges, hash);
        assert_eq!(refused, Err(Hresult::E_NOTIMPL));
    }
    options.dynamic_content = true;
    assert_eq!(check(&options, JobType::Download, false, true), Ok(()));
    let refused = check(&options, JobType::Download, true, false);
    assert_eq!(refused, Err(Hresult::E_INVALIDARG));
}

fn changes() -> impl Strategy<Value = OptionChange> {
    prop_oneof![
        prop::option::of("[A-Z ]{0,5}|GET|PUT|BITS_POST").prop_map(OptionChange::Method),
        any::<bool>().prop_map(OptionChange::CustomHeaders),
        Just(OptionChange::HeadersWriteOnly),
        (0_u32..0x2000).prop_map(OptionChange::SecurityFlags),
        prop::collection::vec("([0-9a-f]{2}:?){20}|x", 0..3).prop_map(OptionChange::Thumbprints),
        prop::option::of(0_u64..3).prop_map(OptionChange::MaximumDownloadTime),
        prop::option::of(0_u64..3).prop_map(OptionChange::MaxDownloadSize),
        any::<bool>().prop_map(OptionChange::DynamicContent),
        any::<bool>().prop_map(OptionChange::RequireRanges),
        prop::option::of(Just(reply())).prop_map(OptionChange::Reply),
        prop::collection::vec("[a-z\u{1} ]{0,3}", 0..3).prop_map(OptionChange::Labels),
        prop::option::of((0_u64..9).prop_map(Timestamp::from_ticks))
            .prop_map(OptionChange::StartAfter),
    ]
}

proptest! {
    #[test]
    fn whatever_is_set_can_be_set_again_and_what_is_refused_changes_nothing(
        kind in prop::sample::select(&KINDS[..]),
        steps in prop::collection::vec((changes(), any::<bool>()), 1..20),
    ) {
        let mut options = JobOptions::default();
        let mut was_resumed = false;
        for (change, resumes) in steps {
            was_resumed |= resumes;
            let before = options.clone();
            match options.set(change.clone(), stage(kind, was_resumed)) {
                Ok(()) => {
                    let once = options.clone();
                    prop_assert_eq!(options.set(change, stage(kind, true)), Ok(()));
                    prop_assert_eq!(&options, &once);
                }
                Err(refused) => {
                    prop_assert_eq!(refused.option, change.name());
                    prop_assert_eq!(&options, &before);
                }
            }
            prop_assert!(before.headers_are_write_only <= options.headers_are_write_only);
            prop_assert!(!(options.dynamic_content && options.method.is_some()));
            if kind.is_upload() {
                prop_assert!(options.max_download_size.is_none() && !options.dynamic_content);
            }
            if was_resumed {
                prop_assert_eq!(&options.method, &before.method);
            }
        }
    }
}

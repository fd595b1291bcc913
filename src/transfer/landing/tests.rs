//! Landings in folders that others change, too.

use std::os::unix::fs::symlink;

use proptest::prelude::*;
use rustix::fs::FileType;

use super::*;

/// Two roots with a drive, an outside, and a protected folder inside.
struct Ground {
    folder: tempfile::TempDir,
    landing: Landing,
}

fn ground() -> Ground {
    let folder = tempfile::tempdir().expect("folder");
    let at = |name: &str| folder.path().join(name);
    for name in ["root", "root/c", "root/state", "outside"] {
        fs::create_dir(at(name)).expect("made");
    }
    fs::write(at("root/config.toml"), "").expect("written");
    let settings = FilesSettings {
        write_roots: vec![at("root")],
        drives: BTreeMap::from([('C', at("root/c"))]),
        ..FilesSettings::default()
    };
    let protected = [at("root/state"), at("root/config.toml")];
    let landing = Landing::new(&settings, &protected).expect("usable");
    Ground { folder, landing }
}

impl Ground {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn destination(&self, name: &str) -> Result<PathBuf, Failure> {
        self.landing
            .destination(&self.at(name).display().to_string())
    }
}

#[test]
fn destinations_lie_below_a_root() {
    let ground = ground();
    assert_eq!(
        ground.landing.destination("c:\\new\\file").expect("inside"),
        ground.at("root/c/new/file")
    );
    assert_eq!(
        ground.destination("root/new//file").expect("inside"),
        ground.at("root/new/file")
    );
    for name in [
        "outside/file",
        "root",
        "root/",
        "root/../outside/file",
        "root/./file",
        "root/c",
        "root/c/",
        "rooted/file",
        "root/a\0b",
        "root/a\nb",
        "root/.bitsd-0-0.tmp",
    ] {
        assert!(ground.destination(name).is_err(), "{name}");
    }
    for text in [
        "",
        "file",
        "./file",
        "//server/share/x",
        "D:\\x",
        "C:x",
        "/etc/passwd",
    ] {
        assert!(ground.landing.destination(text).is_err(), "{text}");
    }
    let long = format!("root/{}", "x".repeat(300));
    assert!(ground.destination(&long).is_err());
    let deep = format!("root/{}x", "x/".repeat(3_000));
    assert!(ground.destination(&deep).is_err());
}

#[test]
fn only_nothing_files_and_links_are_replaced() {
    let ground = ground();
    fs::write(ground.at("root/file"), "old").expect("written");
    symlink("/etc/passwd", ground.at("root/link")).expect("linked");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        ground.at("root/pipe"),
        FileType::Fifo,
        Mode::RUSR,
        0,
    )
    .expect("made");
    assert!(ground.destination("root/file").is_ok());
    assert!(ground.destination("root/link").is_ok());
    assert!(ground.destination("root/pipe").is_err());
    assert!(ground.destination("root/c").is_err());
    assert!(ground.destination("root/file/below").is_err());
}

#[test]
fn what_belongs_to_the_service_is_refused_by_any_way() {
    let ground = ground();
    symlink("state", ground.at("root/alias")).expect("linked");
    for name in [
        "root/state",
        "root/state/jobs",
        "root/state/new/file",
        "root/alias/jobs",
        "root/alias/new/file",
        "root/config.toml",
    ] {
        assert!(ground.destination(name).is_err(), "{name}");
        let spot = ground.landing.spot(&ground.at(name), Missing::Create);
        assert!(spot.is_err(), "{name}");
    }
    assert!(!ground.at("root/state/new").exists());
}

#[test]
fn links_are_followed_inside_and_refused_outside() {
    let ground = ground();
    symlink("c", ground.at("root/inside")).expect("linked");
    symlink("../outside", ground.at("root/out")).expect("linked");
    symlink(ground.at("outside"), ground.at("root/absolute")).expect("linked");
    symlink("loop", ground.at("root/loop")).expect("linked");
    assert!(
        ground
            .landing
            .spot(&ground.at("root/inside/file"), Missing::Create)
            .is_ok()
    );
    for name in [
        "root/out/file",
        "root/out/new/file",
        "root/absolute/file",
        "root/absolute/new/file",
        "root/loop/file",
    ] {
        let failure = ground
            .landing
            .spot(&ground.at(name), Missing::Create)
            .expect_err(name);
        assert_eq!(failure.code, Hresult::E_ACCESSDENIED, "{name}");
    }
    assert_eq!(
        fs::read_dir(ground.at("outside")).expect("there").count(),
        0
    );
}

#[test]
fn who_has_folders_of_his_own_does_not_leave_them() {
    let ground = ground();
    for name in ["root/own", "root/own/deep", "root/owner", "root/other"] {
        fs::create_dir(ground.at(name)).expect("made");
    }
    symlink("../other", ground.at("root/own/link")).expect("linked");
    symlink("deep", ground.at("root/own/inside")).expect("linked");
    symlink("own", ground.at("root/alias")).expect("linked");
    let narrowed = |names: &[&str]| {
        let folders: Vec<_> = names.iter().map(|name| ground.at(name)).collect();
        ground.landing.within(Some(folders.into()))
    };
    let reaches = |landing: &Landing, name: &str| {
        let path = ground.at(name);
        let destination = landing.destination(&path.display().to_string());
        let spot = landing.spot(&path, Missing::Create);
        assert_eq!(destination.is_ok(), spot.is_ok(), "{name}");
        if let Err(failure) = &spot {
            assert_eq!(failure.code, Hresult::E_ACCESSDENIED, "{failure}");
        }
        spot.is_ok()
    };
    let own = narrowed(&["root/own", "root/new/own"]);
    for name in [
        "root/own/file",
        "root/own/deep/file",
        "root/own/inside/file",
        "root/new/own/file",
        "root/new/own/deeper/file",
    ] {
        assert!(reaches(&own, name), "{name}");
    }
    for name in [
        "root/own",
        "root/own/link/file",
        "root/own/link/new/file",
        "root/owner/file",
        "root/other/file",
        // It is the same folder, but not by the same name.
        "root/alias/file",
        "root/new/file",
        "root/file",
        "outside/file",
    ] {
        assert!(!reaches(&own, name), "{name}");
    }
    assert_eq!(
        fs::read_dir(ground.at("root/other"))
            .expect("there")
            .count(),
        0
    );
    assert!(!reaches(&narrowed(&[]), "root/own/file"));
    let both = narrowed(&["root/own/deep", "root/own"]);
    assert!(reaches(&both, "root/own/deep/file") && reaches(&both, "root/own/file"));
    let all = narrowed(&["root"]);
    assert!(reaches(&all, "root/own/link/file") && reaches(&all, "root/file"));
    assert!(reaches(&own.within(None), "root/file"));
    // What is the service's own stays so.
    assert!(!reaches(&narrowed(&["root/state"]), "root/state/file"));
}

#[test]
fn a_race_does_not_lead_out() {
    let ground = ground();
    fs::create_dir(ground.at("root/turn")).expect("made");
    symlink("../outside", ground.at("root/link")).expect("linked");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    ground.at("root/turn"),
                    rustix::fs::CWD,
                    ground.at("root/link"),
                    rustix::fs::RenameFlags::EXCHANGE,
                )
                .expect("exchanged");
            }
        });
        for index in 0..2_000 {
            let path = ground.at(&format!("root/turn/new{index}/file"));
            if let Ok(spot) = ground.landing.spot(&path, Missing::Create) {
                let name = temporary_name(JobId::new(), index);
                spot.create_temporary(&name).expect("made");
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(
        fs::read_dir(ground.at("outside")).expect("there").count(),
        0
    );
}

#[test]
fn a_temporary_file_is_ours_or_not_used() {
    let ground = ground();
    let spot = ground
        .landing
        .spot(&ground.at("root/file"), Missing::Create)
        .expect("inside");
    let name = OsStr::new("temporary");
    assert!(spot.open_temporary(name).expect("read").is_none());
    fs::write(ground.at("outside/secret"), "secret").expect("written");
    symlink("../outside/secret", ground.at("root/temporary")).expect("linked");
    assert!(spot.open_temporary(name).expect("read").is_none());
    spot.create_temporary(name).expect("made anew");
    assert!(spot.open_temporary(name).expect("read").is_some());
    fs::hard_link(ground.at("root/temporary"), ground.at("root/second")).expect("linked");
    assert!(spot.open_temporary(name).expect("read").is_none());
    assert_eq!(
        fs::read_to_string(ground.at("outside/secret")).expect("there"),
        "secret"
    );
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().to_owned();
    let good = FilesSettings {
        write_roots: vec![root],
        ..FilesSettings::default()
    };
    let rows = [
        (
            "files.write_roots",
            FilesSettings {
                write_roots: vec!["/no/such/folder".into()],
                ..good.clone()
            },
        ),
        (
            "files.write_roots",
            FilesSettings {
                write_roots: vec!["relative".into()],
                ..good.clone()
            },
        ),
        (
            "files.drives.C",
            FilesSettings {
                drives: BTreeMap::from([('C', "/elsewhere".into())]),
                ..good.clone()
            },
        ),
        (
            "files.mode",
            FilesSettings {
                mode: "4755".to_owned(),
                ..good.clone()
            },
        ),
        (
            "files.owner",
            FilesSettings {
                owner: Some("no such account".to_owned()),
                ..good.clone()
            },
        ),
    ];
    for (key, settings) in rows {
        let failure = Landing::new(&settings, &[]).expect_err(key);
        assert!(failure.detail.contains(key), "{failure}");
    }
    assert!(Landing::new(&good, &[]).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_text_leads_out_of_the_root(text in "([Cc]:|/)?[\\\\/.a-cA-Z:* ]{0,30}") {
        let ground = ground();
        let inside = format!("{}{text}", ground.at("root").display());
        for text in [text, inside] {
            if let Ok(path) = ground.landing.destination(&text) {
                prop_assert!(path.starts_with(ground.at("root")));
                prop_assert!(path.components().all(|part| part != Component::ParentDir));
            }
        }
    }
}

//! Faults of the disk.

use super::*;

#[tokio::test]
async fn a_write_root_that_has_gone_is_waited_for() {
    let body = content(3_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| match asked.number {
        0 => cut(TAG, &sent),
        _ => Reply::right(asked, TAG, &sent),
    })
    .await;
    let bench = Bench::new(&origin.url());
    let mover = bench.mover();
    let (root, away) = (bench.root(), bench.folder.path().join("away"));
    bench.attempt_with(&mover).await.expect_err("cut");
    std::fs::rename(&root, &away).expect("unmounted");
    let failure = bench.attempt_with(&mover).await.expect_err("gone");
    assert_eq!(failure.code, Hresult::BG_E_DESTINATION_LOCKED, "{failure}");
    assert_eq!(failure.kind, FailureKind::ForNow(None));
    assert_eq!(failure.context, ErrorContext::LocalFile);
    assert_eq!(origin.asked().len(), 1);
    std::fs::rename(&away, &root).expect("mounted");
    bench.attempt_with(&mover).await.expect("fetched");
    assert!(origin.asked()[1].from().is_some());
    bench.assert_lands(&body);
}

#[tokio::test]
async fn another_file_system_in_the_place_of_ours_is_noticed() {
    let body = content(3_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| match asked.number {
        0 => cut(TAG, &sent),
        _ => Reply::right(asked, TAG, &sent),
    })
    .await;
    let bench = Bench::new(&origin.url());
    let elsewhere = tempfile::tempdir_in("/dev/shm").expect("folder");
    bench.attempt().await.expect_err("cut");
    let (root, away) = (bench.root(), bench.folder.path().join("away"));
    std::fs::rename(&root, &away).expect("moved");
    // A link is what a mount is to those who look at the device only.
    std::os::unix::fs::symlink(elsewhere.path(), &root).expect("linked");
    let failure = bench.attempt().await.expect_err("another volume");
    assert_eq!(failure.code, Hresult::BG_E_VOLUME_CHANGED, "{failure}");
    assert_eq!(failure.kind, FailureKind::ForNow(None));
    assert_eq!(
        std::fs::read_dir(elsewhere.path()).expect("there").count(),
        0
    );
    std::fs::remove_file(&root).expect("removed");
    std::fs::rename(&away, &root).expect("moved");
    bench.attempt().await.expect("fetched");
    bench.file.lock().expect("lock").transferred = true;
    std::fs::rename(&root, &away).expect("moved");
    std::os::unix::fs::symlink(elsewhere.path(), &root).expect("linked");
    let file = bench.file();
    let placed = bench
        .mover()
        .place(bench.job, std::slice::from_ref(&file), &Bounds::default());
    let (_, failure) = placed.expect_err("another volume");
    assert_eq!(failure.code, Hresult::BG_E_VOLUME_CHANGED, "{failure}");
    std::fs::remove_file(&root).expect("removed");
    std::fs::rename(&away, &root).expect("moved");
    bench.assert_lands(&body);
}

/// A file of the host that another job completed, of the same name and size.
#[tokio::test]
async fn a_file_of_another_time_is_not_taken_for_the_placed_one() {
    let origin = FaultyOrigin::new(|asked| Reply::right(asked, OLD, b"new")).await;
    let bench = Bench::new(&origin.url());
    bench.file.lock().expect("lock").validator.last_modified =
        Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
    bench.attempt().await.expect("fetched");
    {
        let mut file = bench.file.lock().expect("lock");
        file.validator.last_modified = Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
    }
    let file = bench.file();
    let temporary = landing::temporary_name(bench.job, 0);
    std::fs::remove_file(file.path.with_file_name(temporary)).expect("removed");
    std::fs::write(&file.path, "old").expect("written");
    let placed = bench.mover().place(bench.job, &[file], &Bounds::default());
    let (_, failure) = placed.expect_err("it is gone");
    assert_eq!(failure.code, Hresult::ERROR_FILE_NOT_FOUND);
}

/// A file system of this size, unmounted when dropped; none without the right to
/// mount.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("folder");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }

    fn remount(&self, options: &str) {
        let done = std::process::Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(self.0.path())
            .output()
            .expect("mount");
        assert!(done.status.success(), "{done:?}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg(self.0.path())
            .output();
    }
}

#[tokio::test]
async fn a_full_disk_keeps_what_counts_and_frees_the_rest() {
    let Some(disk) = Disk::new("size=4m") else {
        return;
    };
    let body = content(6_000_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| Reply::right(asked, TAG, &sent)).await;
    let folder = tempfile::tempdir_in(disk.0.path()).expect("folder");
    let bench = Bench::below(folder, &origin.url());
    for _ in 0..2 {
        let failure = bench.attempt().await.expect_err("full");
        assert_eq!(failure.code, Hresult::ERROR_DISK_FULL, "{failure}");
        assert_eq!(failure.kind, FailureKind::ForNow(None));
        let name = landing::temporary_name(bench.job, 0);
        let path = bench.file().path.with_file_name(name);
        let kept = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        assert_eq!(kept, bench.file().durable);
    }
    assert!(origin.asked().len() <= 2);
    disk.remount("size=16m");
    bench.attempt().await.expect("fetched");
    bench.assert_lands(&body);
}

#[tokio::test]
async fn a_small_file_on_a_full_disk_leaves_nothing_behind() {
    let Some(disk) = Disk::new("size=256k") else {
        return;
    };
    let body = content(500_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| Reply::right(asked, TAG, &sent)).await;
    let folder = tempfile::tempdir_in(disk.0.path()).expect("folder");
    let bench = Bench::below(folder, &origin.url());
    let failure = bench.attempt().await.expect_err("full");
    assert_eq!(failure.code, Hresult::ERROR_DISK_FULL, "{failure}");
    let folder = bench.file().path;
    let folder = folder.parent().expect("folder");
    assert_eq!(std::fs::read_dir(folder).expect("there").count(), 0);
    disk.remount("size=16m");
    bench.attempt().await.expect("fetched");
    bench.assert_lands(&body);
}

#[tokio::test]
async fn a_disk_that_is_mounted_for_reading_is_waited_for() {
    let Some(disk) = Disk::new("size=16m") else {
        return;
    };
    let body = content(500_000, 1);
    let sent = body.clone();
    let origin = FaultyOrigin::new(move |asked| Reply::right(asked, TAG, &sent)).await;
    let folder = tempfile::tempdir_in(disk.0.path()).expect("folder");
    let state = tempfile::tempdir().expect("folder");
    let bench = Bench::below(folder, &origin.url());
    let files = FilesSettings {
        write_roots: vec![bench.root()],
        ..FilesSettings::default()
    };
    let mover = Mover::new(&bench.transfer, &files, state.path(), &[]).expect("usable");
    disk.remount("ro");
    let failure = bench.attempt_with(&mover).await.expect_err("read only");
    assert_eq!(failure.code, Hresult::ERROR_WRITE_PROTECT, "{failure}");
    assert_eq!(failure.kind, FailureKind::ForNow(None));
    disk.remount("rw");
    bench.attempt_with(&mover).await.expect("fetched");
    bench.assert_lands(&body);
}

//! Debian: `.deb` packages, apt and dpkg.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use pitcrew_plan::journal::{Failure, Outcome};

use super::group::{Group, JOURNAL, Kind};
use super::packages::Package;
use pitcrew_tests::needs;

const OS_RELEASE: &str = "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian of a test\"\n";
const INSTALL: &str = "apt-get install -y";

#[tokio::test(flavor = "multi_thread")]
async fn instance_lives_through_first_boot_rerun_reboot_and_a_new_id() {
    if !needs::met("bootstrap on Debian", &[needs::SYSTEM, needs::DEB]) {
        return;
    }
    let mut group = Group::new("deb-life", OS_RELEASE, Kind::Deb, INSTALL).await;
    group.live().await;
    for package in ["pitcrew", "amazon-ssm-agent", "codedeploy-agent"] {
        let status = group.machine.output(&["dpkg-query", "-W", "-f", "${Status}", package]);
        assert_eq!(String::from_utf8_lossy(&status.stdout), "install ok installed", "{package}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn appended_script_runs_after_the_tags_and_sees_that_all_went_well() {
    if !needs::met("an appended script", &[needs::SYSTEM, needs::DEB]) {
        return;
    }
    let mut group = Group::new("deb-append", OS_RELEASE, Kind::Deb, INSTALL).await;
    group.launch(Some("#!/bin/sh\necho \"status $PITCREW_BOOTSTRAP_STATUS, 준비됨\" >/var/lib/appended-ran\n")).await;
    assert_eq!(group.machine.read("var/lib/appended-ran"), "status 0, 준비됨\n", "{}", group.machine.story());
    group.assert_tagged(&[super::world::INSTANCE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn appended_boothook_makes_it_mime_and_both_parts_run() {
    if !needs::met("an appended boothook", &[needs::SYSTEM, needs::DEB]) {
        return;
    }
    let mut group = Group::new("deb-mime", OS_RELEASE, Kind::Deb, INSTALL).await;
    group.launch(Some("#cloud-boothook\n#!/bin/sh\necho early >/var/lib/boothook-ran\n")).await;
    assert_eq!(group.machine.read("var/lib/boothook-ran"), "early\n", "{}", group.machine.story());
    group.assert_tagged(&[super::world::INSTANCE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_package_is_not_installed_and_no_ready_tag_is_set() {
    if !needs::met("an altered package", &[needs::SYSTEM, needs::DEB]) {
        return;
    }
    let mut group = Group::new("deb-altered", OS_RELEASE, Kind::Deb, INSTALL).await;
    group.world.put("packages/pitcrew.deb", b"not what was pinned".to_vec());
    group.launch(None).await;
    let story = group.story();
    assert!(story.contains(&("pitcrew".to_owned(), Outcome::Failed(Failure::Digest))), "{}", group.machine.story());
    assert!(!group.machine.is_active("pitcrew"));
    assert!(group.machine.is_active("amazon-ssm-agent"), "the way in to repair it is there");
    group.world.with(|state| {
        let tags: Vec<_> = state.tagged.iter().map(|form| (&*form["Tag.1.Key"], &*form["Tag.1.Value"])).collect();
        assert_eq!(tags, [("pitcrew:bootstrap", "failed:digest")]);
    });
    let result = String::from_utf8(group.machine.output(&["cat", "/run/cloud-init/result.json"]).stdout).unwrap();
    assert!(result.contains("failures (part-001)"), "cloud-init says so as well: {result}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_of_apt_that_is_held_for_ninety_seconds_is_waited_for() {
    const HOLD: &str = "import fcntl, sys\nlock = open(sys.argv[1], 'a+')\nfcntl.lockf(lock, fcntl.LOCK_EX)\n\
        print('held', flush=True)\nsys.stdin.read()";
    if !needs::met("a lock of apt", &[needs::SYSTEM, needs::DEB]) {
        return;
    }
    let mut group = Group::new("deb-lock", OS_RELEASE, Kind::Deb, INSTALL).await;
    group.settings = group.settings.replace("deadline = \"2m\"", "deadline = \"5m\"");
    // As unattended upgrades hold it while a machine boots for the first time.
    let mut holder = Command::new("python3")
        .args(["-c", HOLD])
        .arg(group.machine.path("var/lib/dpkg/lock-frontend"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut held = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut held).unwrap();
    assert_eq!(held, "held\n");
    let journal = group.machine.path(JOURNAL);
    let releasing = tokio::spawn(async move {
        while !fs::read_to_string(&journal).is_ok_and(|journal| journal.contains("\nrole ")) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_secs(90)).await;
        drop(holder.stdin.take());
        holder.wait().unwrap();
    });
    group.launch(None).await;
    releasing.await.unwrap();
    let waited = group.millis("pitcrew").unwrap();
    assert!((85_000..150_000).contains(&waited), "{waited} ms: {}", group.machine.story());
    group.assert_tagged(&[super::world::INSTANCE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn package_that_needs_what_is_nowhere_and_unit_that_ends_are_told_and_keep_the_tags_away() {
    if !needs::met("a broken package", &[needs::SYSTEM, needs::DEB]) {
        return;
    }
    let mut group = Group::new("deb-broken", OS_RELEASE, Kind::Deb, INSTALL).await;
    let pitcrew =
        Package { name: "pitcrew", version: "0.1.0", program: "", unit: "pitcrew", depends: "nothing-like-it" };
    group.replace("packages/pitcrew.deb", Kind::Deb.build(&pitcrew));
    let agent = Package {
        name: "codedeploy-agent",
        version: "2.0.1",
        program: "exit 1",
        unit: "codedeploy-agent",
        depends: "",
    };
    group.replace("aws-codedeploy-eu-west-1/releases/agent", Kind::Deb.build(&agent));
    group.launch(None).await;
    let (story, whole) = (group.story(), group.machine.story());
    for failed in [("pitcrew", Failure::Install), ("codedeploy-running", Failure::Unit), ("end", Failure::Install)] {
        assert!(story.contains(&(failed.0.to_owned(), Outcome::Failed(failed.1))), "{failed:?}: {whole}");
    }
    assert!(group.machine.is_active("amazon-ssm-agent"), "{whole}");
    assert!(whole.contains("Depends: nothing-like-it"), "the manager's words are kept: {whole}");
    assert!(story.iter().all(|(step, _)| step != "tags"), "{story:?}");
}

//! Each distribution's own way to the agents.

use pitcrew_plan::journal::Failure;
use pitcrew_tests::aws::{INSTANCE, REGION};

use super::host::Host;

fn host(os_release: &str) -> Host {
    let host = Host::new();
    host.write("etc/os-release", os_release);
    host
}

/// What was installed, by which manager.
fn installations(host: &Host) -> Vec<String> {
    let calls = host.calls();
    let installing = calls.iter().filter(|call| call.contains(" install ") || call.starts_with("rpm "));
    installing.map(|call| call.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn each_release_of_each_distribution_gets_everything_by_its_own_package_manager() {
    const APT: &str = "apt-get -yo DPkg::Lock::Timeout=-1 install";
    const YUM: &str = "yum -y --nogpgcheck install";
    const DNF: &str = "dnf -y --nogpgcheck install";
    const ZYPPER: &str = "zypper -n --no-gpg-checks install";
    for (id, version, install) in [
        ("\"amzn\"", "2", YUM),
        ("\"amzn\"", "2023", DNF),
        // Without snapd here, hence by the package.
        ("ubuntu", "20.04", APT),
        ("ubuntu", "22.04", APT),
        ("ubuntu", "24.04", APT),
        ("ubuntu", "26.04", APT),
        ("debian", "12", APT),
        ("debian", "13", APT),
        ("\"rhel\"", "8.10", DNF),
        ("\"rhel\"", "9.6", DNF),
        ("\"rhel\"", "10.1", DNF),
        ("\"rocky\"", "8.10", DNF),
        ("\"rocky\"", "9.6", DNF),
        ("\"rocky\"", "10.1", DNF),
        ("\"almalinux\"", "8.10", DNF),
        ("\"almalinux\"", "9.6", DNF),
        ("\"almalinux\"", "10.1", DNF),
        ("\"sles\"", "15.6", ZYPPER),
    ] {
        let host = host(&format!("ID={id}\nVERSION_ID=\"{version}\"\n"));
        let run = host.run();
        run.assert_ended_well();
        assert_eq!(installations(&host), [install, install], "{id} {version}");
        assert!(run.has_done("ssm-online") && run.has_done("codedeploy-running"), "{id} {version}: {run:?}");
        assert_eq!(host.world.state().tagged.len(), 1, "{id} {version}");
    }
}

#[test]
fn where_repositories_are_out_of_reach_rpm_installs_the_file() {
    let host = host("ID=\"amzn\"\nVERSION_ID=\"2023\"\n");
    host.write("broken/dnf", "");
    host.run().assert_ended_well();
    assert_eq!(installations(&host)[..2], ["dnf -y --nogpgcheck install", "rpm -U --replacepkgs"]);
}

#[test]
fn an_agent_of_the_image_is_started_anew_because_it_may_have_missed_the_credentials() {
    let host = host("ID=\"amzn\"\nVERSION_ID=\"2023\"\n");
    host.write("units/amazon-ssm-agent.service", "");
    host.write("active/amazon-ssm-agent.service", "");
    host.run().assert_ended_well();
    assert!(host.calls().contains(&"systemctl restart amazon-ssm-agent".to_owned()));
    assert_eq!(host.world.asked("/amazon-ssm-"), 0, "nothing is downloaded");
}

#[test]
fn an_identity_that_came_with_the_image_is_no_proof() {
    let mut host = host("ID=\"amzn\"\nVERSION_ID=\"2\"\n");
    host.ask("deadline 2");
    host.write("units/amazon-ssm-agent.service", "");
    host.write("deaf", "");
    host.write(
        "var/lib/amazon/ssm/runtimeconfig/identity_config.json",
        r#"{"InstanceId":"i-0builder","CredentialsRetrievedAt":"2099-01-01T00:00:00Z"}"#,
    );
    let run = host.run();
    run.assert_failed("ssm-online", Failure::Offline);
    assert_eq!(run.step("tags"), None);
}

#[test]
fn an_identity_from_before_this_boot_is_no_proof() {
    let mut host = host("ID=\"amzn\"\nVERSION_ID=\"2\"\n");
    host.ask("deadline 2");
    host.write("units/amazon-ssm-agent.service", "");
    host.write("deaf", "");
    let identity = "var/lib/amazon/ssm/runtimeconfig/identity_config.json";
    host.write(identity, &format!(r#"{{"InstanceId":"{INSTANCE}","CredentialsRetrievedAt":"2019-01-01T00:00:00Z"}}"#));
    let file = std::fs::File::options().write(true).open(host.path(identity)).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_546_300_800)).unwrap();
    host.run().assert_failed("ssm-online", Failure::Offline);
}

#[test]
fn ubuntu_has_the_agent_as_a_snap() {
    for version in ["20.04", "22.04", "24.04", "26.04"] {
        let host = host(&format!("ID=ubuntu\nVERSION_ID=\"{version}\"\n"));
        host.with_snap();
        host.run().assert_ended_well();
        let calls = host.calls();
        let first = calls.iter().position(|call| call == "snap wait system seed.loaded").unwrap();
        let second = calls.iter().position(|call| call == "snap install --classic amazon-ssm-agent").unwrap();
        assert!(first < second);
        assert_eq!(host.world.asked("/amazon-ssm-"), 0, "the package refuses to stand beside a snap");
    }
}

#[test]
fn ubuntu_without_snapd_takes_the_package() {
    let host = host("ID=ubuntu\nVERSION_ID=\"24.04\"\n");
    host.run().assert_ended_well();
    assert_eq!(host.world.asked("/amazon-ssm-"), 1);
}

#[test]
fn a_region_without_codedeploy_2_gets_1_by_the_manifest() {
    for status in [403, 404] {
        let host = host("ID=\"amzn\"\nVERSION_ID=\"2\"\n");
        host.world
            .fault(move |call| call.path.contains("/latestv2/").then(|| super::world::Reply::Full(status, Vec::new())));
        manifest(&host);
        let run = host.run();
        run.assert_ended_well();
        assert_eq!(host.world.asked("/releases/codedeploy-agent-1.8.1-1.noarch.rpm"), 1);
    }
}

#[test]
fn an_installer_of_2_that_fails_gives_way_to_1() {
    let host = host("ID=ubuntu\nVERSION_ID=\"22.04\"\n");
    host.put(&format!("/aws-codedeploy-{REGION}/latestv2/install"), "echo unsupported >&2; exit 1\n");
    manifest(&host);
    host.run().assert_ended_well();
    assert_eq!(host.world.asked("/releases/codedeploy-agent_1.8.1-1_all.deb"), 1);
}

#[test]
fn codedeploy_1_by_choice_asks_for_nothing_of_2() {
    let mut host = host("ID=\"rhel\"\nVERSION_ID=\"8.10\"\n");
    host.ask("codedeploy 1");
    manifest(&host);
    host.run().assert_ended_well();
    assert_eq!(host.world.asked("/latestv2/"), 0);
}

#[test]
fn debian_13_has_nothing_to_fall_back_to() {
    let host = host("ID=debian\nVERSION_ID=\"13\"\n");
    host.world.state().objects.remove(&format!("/aws-codedeploy-{REGION}/latestv2/install"));
    manifest(&host);
    let run = host.run();
    run.assert_failed("codedeploy", Failure::Missing);
    assert!(run.has_done("ssm-online"), "SSM is there to look at it: {run:?}");
    assert_eq!(host.world.asked("/LATEST_VERSION"), 0);
}

#[test]
fn an_image_that_lacks_what_it_should_have_is_told() {
    let mut host = host("ID=\"amzn\"\nVERSION_ID=\"2023\"\n");
    host.ask("ssm ensure");
    host.run().assert_failed("ssm", Failure::Absent);
}

#[test]
fn an_unknown_distribution_is_told_before_anything_is_done() {
    let host = host("ID=alpine\nVERSION_ID=3.20.0\n");
    host.run().assert_failed("facts", Failure::Distribution);
    assert!(host.calls().is_empty());
}

#[test]
fn a_machine_for_which_no_package_travels_is_told() {
    let mut host = host("ID=\"amzn\"\nVERSION_ID=\"2023\"\n");
    host.request.retain(|line| !(line.starts_with("package") && line.contains(" rpm ")));
    let run = host.run();
    run.assert_failed("pitcrew", Failure::NoPackage);
    assert!(run.has_done("ssm-online"), "{run:?}");
}

fn manifest(host: &Host) {
    let manifest =
        r#"{"rpm":"releases/codedeploy-agent-1.8.1-1.noarch.rpm","deb":"releases/codedeploy-agent_1.8.1-1_all.deb"}"#;
    host.put(&format!("/aws-codedeploy-{REGION}/latest/LATEST_VERSION"), manifest);
    let package = format!("touch {}/units/codedeploy-agent.service\n", host.root());
    for name in ["codedeploy-agent-1.8.1-1.noarch.rpm", "codedeploy-agent_1.8.1-1_all.deb"] {
        host.put(&format!("/aws-codedeploy-{REGION}/releases/{name}"), &package);
    }
}

//! A sample of the matrix with real processes, sockets, files and inotify, for both owners of traffic.

use crate::rehearsed::side_by_side;

const SAMPLE: [&[&str]; 6] = [
    &["--die-at", "BeforeInstall", "--death", "host-agent"],
    &["--die-at", "ApplicationStart", "--death", "timeout", "--host-agent", "2", "--rollback"],
    &["--die-at", "AfterInstall", "--death", "stopped", "--host-agent", "2"],
    &["--die-at", "ApplicationStop", "--death", "reboot"],
    &["--owner", "codedeploy", "--die-at", "AfterInstall", "--death", "stopped", "--deregistration-delay", "5"],
    &["--owner", "codedeploy", "--die-at", "ApplicationStart", "--death", "reboot", "--deregistration-delay", "5"],
];

#[test]
fn real_processes_are_not_stranded_either() {
    for (options, report) in side_by_side(&SAMPLE) {
        assert_eq!(report["deployments"].as_array().unwrap().len(), 2, "{options:?}");
    }
}

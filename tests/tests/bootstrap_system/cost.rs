//! What the bootstrap costs: the installer itself without its children, and the time from its start to the tags
//! beside that of a plain shell script. Prints figures and asserts none.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::group::{Group, Kind};
use super::installer;
use pitcrew_tests::command::text;
use pitcrew_tests::needs::{self, Program};

const OS_RELEASE: &str = "ID=debian\nVERSION_ID=\"12\"\n";
const TRACER: &[Program] = &[Program { name: "strace", package: "strace" }];
const RUNS: u32 = 3;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement: cargo test -p pitcrew-tests --test bootstrap_system -- --ignored --nocapture cost"]
async fn cost_of_the_installer_and_time_to_the_tags() {
    if !needs::met("the cost of the bootstrap", &[needs::SYSTEM, needs::DEB, TRACER]) {
        return;
    }
    println!("{:<20}{:>16}{:>14}{:>14}", "", "start to tags", "own CPU", "own peak RSS");
    for _ in 0..RUNS {
        let group = ready("cost-installer").await;
        let (wall, own) = run(&group, "installer", &["/opt/installer", "/opt/request"]).await;
        let Own { cpu, peak_kib } = own;
        println!("{:<20}{wall:>16.2?}{cpu:>14.2?}{peak_kib:>10} KiB", "installer");
        drop(group);
        let group = ready("cost-script").await;
        let (wall, _) = run(&group, "plain-script.sh", &["bash", "/opt/plain-script.sh"]).await;
        println!("{:<20}{wall:>16.2?}", "plain shell script");
    }
    let group = ready("cost-syscalls").await;
    let traced = ["strace", "-c", "-o", "/opt/syscalls", "/opt/installer", "/opt/request"];
    group.machine.output(&traced);
    println!("system calls of the installer itself:\n{}", group.machine.read("opt/syscalls"));
}

/// What a process used for itself.
#[derive(Default)]
struct Own {
    cpu: Duration,
    peak_kib: u64,
}

/// A booted machine with the installer, its request, and the script, none of which has run.
async fn ready(name: &str) -> Group {
    let mut group = Group::new(name, OS_RELEASE, Kind::Deb, "apt-get install -y").await;
    // The pace that is shipped, not the tests' own.
    group.settings = group.settings.replace("pace = \"200ms\"", "");
    let agent = group.world.with(|state| {
        state.checks_signatures = false;
        state.objects.iter().find(|(key, _)| key.ends_with("releases/agent")).map(|(_, agent)| agent.clone())
    });
    group.world.put("aws-codedeploy-eu-west-1/releases/agent.deb", agent.unwrap());
    group.world.put("aws-codedeploy-eu-west-1/latest/LATEST_VERSION", br#"{"deb":"releases/agent.deb"}"#.to_vec());
    let machine = &group.machine;
    machine.write("opt/installer", &installer::installer().bytes);
    machine.write("opt/request", &installer::request(&group.settings).await);
    machine.write("opt/plain-script.sh", include_bytes!("plain-script.sh"));
    machine.prepare(&["chmod", "755", "/opt/installer"]);
    group.boot().await;
    group
}

/// Runs a command to its end, which is when the tags are set, and watches the process named `name`.
async fn run(group: &Group, name: &str, command: &[&str]) -> (Duration, Own) {
    let own = Arc::new(Mutex::new(Own::default()));
    let watched = Arc::clone(&own);
    let name = name.to_owned();
    let watcher = tokio::spawn(async move {
        loop {
            if let Ok(mut own) = watched.lock() {
                watch(&name, &mut own);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let began = tokio::time::Instant::now();
    let output = tokio::task::block_in_place(|| group.machine.output(command));
    let wall = began.elapsed();
    watcher.abort();
    assert!(output.status.success(), "{}\n{}", text(&output), group.machine.story());
    let own = std::mem::take(&mut *own.lock().unwrap());
    (wall, own)
}

/// Notes what the process named `name` has used so far; what it uses in its last two milliseconds is missed.
fn watch(name: &str, own: &mut Own) {
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let file = |file: &str| fs::read_to_string(process.path().join(file)).unwrap_or_default();
        if file("comm").trim() != name {
            continue;
        }
        let on_cpu = file("schedstat").split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0);
        own.cpu = own.cpu.max(Duration::from_nanos(on_cpu));
        let peak = file("status")
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        own.peak_kib = own.peak_kib.max(peak.unwrap_or(0));
    }
}

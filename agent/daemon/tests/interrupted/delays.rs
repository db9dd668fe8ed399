//! How soon after a notice traffic leaves, at the default poll.

use crate::support::{idle, notice, options, passes};
use pitcrew_rehearsal::interruption::Action;

#[test]
fn ninety_nine_of_a_hundred_notices_take_the_instance_out_within_twelve_tenths_of_a_second() {
    let mut delays = Vec::new();
    let mut asked = Vec::new();
    for seed in 1..=100 {
        let report = passes(&options(seed, idle(5), Action::Terminate, 60));
        delays.push(notice(&report).deregister_ms.unwrap());
        asked.push(report.metadata_requests_per_minute);
    }
    delays.sort_unstable();
    let asked = asked.iter().sum::<f64>() / 100.0;
    println!("notice to DeregisterTargets: p50 {} ms, p99 {} ms; {asked:.0} requests a minute", delays[49], delays[98]);
    assert!(delays[98] <= 1200, "{delays:?}");
    assert!(delays[0] < 300 && delays[49] > 300, "the notices came at all phases of the poll: {delays:?}");
    assert!(asked <= 130.0, "{asked} requests a minute");
}

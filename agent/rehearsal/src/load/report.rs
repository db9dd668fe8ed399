//! What a load has shown, in numbers.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// What a load has shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// How long requests were sent, in milliseconds.
    pub lasted_ms: u64,
    /// Requests that were due.
    pub sent: u64,
    /// Those answered in full with a status below 500.
    pub ok: u64,
    /// Those lost: no connection, no whole answer in time, or a status of 500 and above.
    pub lost: u64,
    /// Of the requests answered.
    pub latency: Latency,
    /// Who answered.
    pub served: Vec<Served>,
    /// The first lost requests, in the order in which they ended.
    pub losses: Vec<Loss>,
    /// How many were lost at each target, as the balancer names it; empty where it had chosen none.
    pub lost_at: BTreeMap<String, u64>,
    /// One entry for each second of the schedule, without gaps; none where the plan does not ask for them.
    pub seconds: Vec<Second>,
}

/// Latency from the due time to the whole answer, in milliseconds; all zero without requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the requests took at most this long.
    pub p50_ms: f64,
    /// 90 % did.
    pub p90_ms: f64,
    /// 99 % did.
    pub p99_ms: f64,
    /// 99.9 % did.
    pub p999_ms: f64,
    /// All did.
    pub max_ms: f64,
}

/// What one version behind one target answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Served {
    /// The target as the balancer names it, `127.77.0.1:8080`; empty when answers did not say.
    pub target: String,
    /// The version as it names itself; empty when answers did not say.
    pub version: String,
    /// Requests answered.
    pub requests: u64,
    /// Of these requests.
    pub latency: Latency,
}

/// One lost request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// When it was due, in milliseconds since the start of the load.
    pub due_ms: u64,
    /// When it was lost, in milliseconds since the start of the load.
    pub ended_ms: u64,
    /// A short sentence.
    pub cause: String,
    /// The target that had the request, as the balancer names it; empty when unknown.
    pub target: String,
}

/// The requests that were due in one second, whenever they ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Second {
    /// Seconds since the start of the load.
    pub second: u64,
    /// Requests that were due.
    pub sent: u64,
    /// Those answered.
    pub ok: u64,
    /// Those lost.
    pub lost: u64,
    /// Of the requests answered.
    pub latency: Latency,
    /// Who answered.
    pub served: Vec<Served>,
}

impl fmt::Display for Latency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = self;
        writeln!(out, "{:>10} {:>10} {:>10} {:>10} {:>10}", "p50", "p90", "p99", "p99.9", "max")?;
        write!(out, "{p50_ms:>7.1} ms {p90_ms:>7.1} ms {p99_ms:>7.1} ms {p999_ms:>7.1} ms {max_ms:>7.1} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up() {
        let latency = Latency { p50_ms: 1.0, p90_ms: 61_000.0, p99_ms: 61_000.0, p999_ms: 61_000.0, max_ms: 61_000.0 };
        let table = latency.to_string();
        let [head, body] = table.lines().collect::<Vec<_>>()[..] else { unreachable!("two lines: {table}") };
        assert_eq!(head, "       p50        p90        p99      p99.9        max");
        assert_eq!(body, "    1.0 ms 61000.0 ms 61000.0 ms 61000.0 ms 61000.0 ms");
    }
}

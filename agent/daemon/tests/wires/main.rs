//! Everything that the agent reads and others wrote, damaged at random. The same cases at every run; what a coverage-guided
//! search finds (`fuzz/agent`) is put into the tables here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a case that panics is a failed test")]

#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod cases;

use fastrand::Rng;

/// Damaged documents for each good one.
const CASES: usize = 400;

const STATUSES: [u16; 6] = [200, 400, 403, 404, 500, 503];

/// Puts each good document and many damaged ones through `case`.
fn damaged(good: &[&[u8]], case: impl Fn(&[u8])) {
    let mut rng = Rng::with_seed(1);
    for document in good {
        case(document);
        for _ in 0..CASES {
            let mut bytes = document.to_vec();
            for _ in 0..rng.usize(1..6) {
                damage(&mut rng, &mut bytes, good);
            }
            case(&bytes);
        }
    }
    case(b"");
}

fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, good: &[&[u8]]) {
    if bytes.is_empty() {
        return bytes.extend([rng.u8(..), rng.u8(..)]);
    }
    let at = rng.usize(..bytes.len());
    match rng.u8(..9) {
        0 => bytes[at] = rng.u8(..),
        1 => bytes[at] ^= 1 << rng.u8(..8),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..(at + rng.usize(1..20)).min(bytes.len()))),
        4 => bytes.insert(at, *rng.choice(b"{}[]<>\"'\\/&;:,=0-9 \n\0\xff").unwrap()),
        5 => {
            let piece = bytes[at..(at + rng.usize(1..40)).min(bytes.len())].to_vec();
            bytes.splice(at..at, piece.repeat(rng.usize(1..30)));
        }
        6 => {
            let other = rng.choice(good).unwrap();
            bytes.truncate(at);
            bytes.extend(&other[rng.usize(..other.len().max(1)).min(other.len())..]);
        }
        7 => {
            let number =
                *rng.choice(&["0", "-1", "1e999", "18446744073709551616", "0.1", "null", "\"\"", "{}"]).unwrap();
            bytes.splice(at..at, number.bytes());
        }
        _ => bytes.splice(at..at, "äöü\u{202e}\u{0}".bytes()).for_each(drop),
    }
}

/// Answers with every status.
fn answers(bodies: &[&str]) -> Vec<Vec<u8>> {
    let answer = |status: u16, body: &str| [&(status - 100).to_le_bytes()[..], body.as_bytes()].concat();
    bodies.iter().flat_map(|body| STATUSES.map(|status| answer(status, body))).collect()
}

fn damaged_answers(bodies: &[&str], case: impl Fn(&[u8])) {
    let answers = answers(bodies);
    let mut rng = Rng::with_seed(2);
    for answer in &answers {
        case(answer);
        for _ in 0..CASES / 20 {
            let (status, body) = answer.split_at(2);
            let mut body = body.to_vec();
            for _ in 0..rng.usize(1..6) {
                let others: Vec<&[u8]> = bodies.iter().map(|body| body.as_bytes()).collect();
                damage(&mut rng, &mut body, &others);
            }
            case(&[status, &body].concat());
        }
    }
}

#[test]
fn lines_on_the_socket() {
    let good: [&[u8]; 8] = [
        b"{\"v\":1,\"hook\":{\"event\":\"BeforeInstall\",\"deployment\":\"d-ABC\",\"application\":\"shop\",\"group\":\"web\",\"patience_ms\":900000}}\n",
        b"{\"v\":1,\"out\":{\"ttl_ms\":3600000,\"patience_ms\":60000}}\n{\"v\":1,\"cancel\":{}}\n",
        b"{\"v\":1,\"leave\":{\"within_ms\":90000,\"waits\":true,\"patience_ms\":120000}}\n",
        b"{\"v\":1,\"status\":{}}\n",
        b"{\"v\":1,\"accepted\":{\"patience_ms\":900000}}\n{\"v\":1,\"progress\":\"draining\"}\n",
        b"{\"v\":1,\"answer\":{\"verdict\":\"done\",\"sentence\":\"out of traffic\"}}\n",
        b"{\"v\":1,\"refused\":{\"reason\":\"permission\",\"sentence\":\"no\"}}\n",
        b"{\"v\":2,\"hook\":{}}\n",
    ];
    damaged(&good, cases::socket);
}

#[test]
fn configuration_files() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/config.d");
    let mut shipped: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    shipped.sort();
    // What is shipped is mostly comments: uncommented, it is all settings.
    let texts: Vec<Vec<u8>> = shipped.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let settings: Vec<Vec<u8>> = texts
        .iter()
        .map(|text| {
            let text = String::from_utf8(text.clone()).unwrap();
            let lines = text.lines().map(|line| line.strip_prefix('#').unwrap_or(line).trim());
            lines
                .filter(|line| line.contains(" = ") || line.starts_with('['))
                .collect::<Vec<_>>()
                .join("\n")
                .into_bytes()
        })
        .collect();
    let good: Vec<&[u8]> = texts.iter().chain(&settings).map(Vec::as_slice).collect();
    damaged(&good, cases::configuration);
}

#[test]
fn documents_of_the_ledger() {
    let body = r#"{"generation":7,"instance":"i-1","boot":"boot-1","written":{"at":5,"wall":9},"memory":{"leases":{"d-1":{"group":{"application":"web","name":"prod"},"owner":"pitcrew","holds_traffic":true,"opened":{"at":1,"wall":2},"heard":3,"last_event":"BeforeInstall"}},"ended":[],"hold":{"since":{"at":1,"wall":2},"until":null},"taken_out":{"g":{"deregistration_delay":{"secs":300,"nanos":0},"targets":[[{"id":"i-1","port":80},18446744073709551615]],"put_back":0,"latest":"deregistered","settles_at":18446744073709551615}},"leaving":{"notices":[{"kind":"spot-stop","time":18446744073709551615}],"since":{"at":1,"wall":2},"deadline":18446744073709551615,"stage":"draining","scripts":{},"skipped":[]}}}"#;
    // The checksum fits, so that what is damaged inside of it is read, too.
    let whole = |body: &str| {
        format!("{{\"pitcrew_ledger\":1,\"crc32\":\"{:08x}\",\"body\":{body}}}\n", crc32fast::hash(body.as_bytes()))
    };
    damaged(&[whole(body).as_bytes(), br#"{"pitcrew_ledger":2}"#], cases::ledger);
    damaged(&[body.as_bytes()], |body| {
        if let Ok(body) = std::str::from_utf8(body) {
            cases::ledger(whole(body).as_bytes());
        }
    });
}

#[test]
fn answers_of_the_metadata_service() {
    damaged_answers(
        &[
            r#"{"action":"terminate","time":"2026-11-23T08:22:00Z"}"#,
            r#"{"noticeTime":"2026-11-23T08:22:00Z"}"#,
            r#"[{"NotBefore":"21 Jan 2027 09:00:43 GMT","Code":"system-reboot","EventId":"e-1","State":"active"}]"#,
            "Terminated",
            r#"{"instanceId":"i-0abc","region":"eu-central-1","accountId":"123456789012","privateIp":"10.0.0.7","availabilityZone":"eu-central-1a"}"#,
        ],
        cases::metadata,
    );
}

#[test]
fn answers_of_aws() {
    damaged_answers(
        &[
            "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error><RequestId>r</RequestId></ErrorResponse>",
            r#"{"__type":"DeploymentDoesNotExistException","message":"no"}"#,
            "<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions><member><Target><Id>i-1</Id><Port>80</Port></Target><TargetHealth><State>draining</State><Reason>Target.DeregistrationInProgress</Reason></TargetHealth></member></TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>",
            "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups><member><TargetGroupArn>arn:x</TargetGroupArn></member></TargetGroups></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>",
            r#"{"deploymentGroupInfo":{"deploymentStyle":{"deploymentType":"IN_PLACE","deploymentOption":"WITH_TRAFFIC_CONTROL"},"loadBalancerInfo":{"targetGroupInfoList":[{"name":"web"}]}}}"#,
            r#"{"deploymentTarget":{"instanceTarget":{"status":"Succeeded"}}}"#,
        ],
        cases::aws,
    );
}

#[test]
fn appspecs() {
    let sample = include_bytes!("../../../../packaging/appspec/sample/appspec.yml");
    damaged(
        &[sample, b"version: 0.0\nos: linux\nhooks:\n  BeforeInstall:\n    - {location: a, timeout: 900}\n"],
        cases::appspec,
    );
}

//! Turns what is written into what is meant, or says where it is wrong.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pitcrew_plan::distribution::{Arch, Distribution, PackageKind};
use toml::{Spanned, Value};

use super::fragment::{self, Fragment, Text};
use super::{CodeDeploy, CodeDeployVersion, Endpoints, Package, Settings, Ssm, SsmVersion};

/// A value that cannot be meant, and where it stands in the file.
pub(super) struct Flaw {
    pub(super) offset: usize,
    pub(super) message: String,
}

type Checked<T> = Result<T, Flaw>;

pub(super) struct Checker<'a> {
    /// The folder of `bootstrap.toml`, against which paths are resolved.
    pub(super) folder: &'a Path,
}

impl Checker<'_> {
    pub(super) fn settings(&self, fragment: Fragment) -> Checked<Settings> {
        let systems = fragment.systems.iter().map(system).collect::<Checked<Vec<_>>>()?;
        let packages = fragment.packages.iter().map(package).collect::<Checked<Vec<_>>>()?;
        Ok(Settings {
            systems,
            deadline: duration("run.deadline", fragment.run.deadline, 60_000..=7_200_000, 900_000)?,
            pace: duration("run.pace", fragment.run.pace, 10..=10_000, 1_000)?,
            root: absolute("run.root", fragment.run.root)?,
            packages,
            ssm: fragment.ssm.map(|ssm| self.ssm(ssm)).transpose()?,
            codedeploy: fragment.codedeploy.map(codedeploy).transpose()?,
            tags: tags(fragment.tags)?,
            endpoints: endpoints(fragment.endpoints)?,
        })
    }

    fn ssm(&self, ssm: fragment::Ssm) -> Checked<Ssm> {
        let version = match ssm.version.get_ref().as_str() {
            "ensure" => return ensure_alone(&ssm),
            "latest" => SsmVersion::Latest,
            exact if is_version(exact) => SsmVersion::Exact(exact.to_owned()),
            _ => {
                return Err(flaw(
                    &ssm.version,
                    "ssm.version",
                    "is none; write a version such as \"3.3.3050.0\", \"latest\" or \"ensure\"",
                ));
            }
        };
        let source = match (ssm.source, ssm.region) {
            (Some(source), None) => url("ssm.source", &source)?.trim_end_matches('/').to_owned(),
            (None, region) => bucket(region)?,
            (Some(_), Some(region)) => {
                return Err(flaw(
                    &region,
                    "ssm.region",
                    "says where to look, and so does ssm.source; keep one of them",
                ));
            }
        };
        Ok(Ssm::Install {
            version,
            source,
            signing_keys: ssm.signing_keys.iter().map(|key| self.folder.join(key.get_ref())).collect(),
            sha256: digests("ssm.sha256", ssm.sha256)?,
        })
    }
}

fn flaw<T: std::fmt::Display>(at: &Spanned<T>, key: &str, complaint: &str) -> Flaw {
    Flaw { offset: at.span().start, message: format!("{key}: `{}` {complaint}", at.get_ref()) }
}

fn system(name: &Text) -> Checked<(&'static str, Distribution)> {
    Distribution::NAMED.into_iter().find(|(known, _)| known == name.get_ref()).ok_or_else(|| {
        let known = Distribution::NAMED.map(|(known, _)| known).join(", ");
        flaw(name, "systems", &format!("is not known; known are {known}"))
    })
}

fn package(package: &fragment::Package) -> Checked<Package> {
    let arch = match package.arch.get_ref().as_str() {
        "x86_64" => Arch::X86_64,
        "aarch64" => Arch::Aarch64,
        _ => return Err(flaw(&package.arch, "package.arch", "is none; write x86_64 or aarch64")),
    };
    let address = url("package.url", &package.url)?;
    let kind = match address.rsplit('.').next() {
        Some("deb") => PackageKind::Deb,
        Some("rpm") => PackageKind::Rpm,
        Some(_) | None => return Err(flaw(&package.url, "package.url", "ends in neither .deb nor .rpm")),
    };
    let sha256 = package.sha256.as_ref().map(|value| digest("package.sha256", value)).transpose()?;
    if sha256.is_none() && !address.starts_with("https://") {
        return Err(flaw(&package.url, "package.url", "is not https, so it needs a sha256 beside it"));
    }
    Ok(Package { arch, kind, url: address, sha256 })
}

/// `ensure` installs nothing, so nothing that says what to install may stand beside it.
fn ensure_alone(ssm: &fragment::Ssm) -> Checked<Ssm> {
    let beside = (ssm.region.as_ref().or(ssm.source.as_ref()))
        .or_else(|| ssm.signing_keys.first())
        .or_else(|| ssm.sha256.keys().next());
    match beside {
        None => Ok(Ssm::Ensure),
        Some(other) => Err(flaw(other, "ssm", "has no meaning with version = \"ensure\"; remove it")),
    }
}

/// The agent's bucket in a region, by the domain of the region's partition.
fn bucket(region: Option<Text>) -> Checked<String> {
    let Some(region) = region else { return Ok(bucket_url("us-east-1")) };
    let is_region = |name: &str| {
        name.contains('-')
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if is_region(region.get_ref()) {
        Ok(bucket_url(region.get_ref()))
    } else {
        Err(flaw(&region, "ssm.region", "is no region; write one such as eu-west-1"))
    }
}

fn bucket_url(region: &str) -> String {
    format!("https://s3.{region}.{}/amazon-ssm-{region}", pitcrew_plan::location::domain(region))
}

fn codedeploy(agent: fragment::CodeDeploy) -> Checked<CodeDeploy> {
    let version = match agent.version.get_ref().as_str() {
        "1" => CodeDeployVersion::V1,
        "2" => CodeDeployVersion::V2,
        "ensure" => CodeDeployVersion::Ensure,
        _ => return Err(flaw(&agent.version, "codedeploy.version", "is none; write \"2\", \"1\" or \"ensure\"")),
    };
    let config = agent.config.iter().map(|(key, value)| config_line(key, value)).collect::<Checked<_>>()?;
    Ok(CodeDeploy { version, config, sha256: digests("codedeploy.sha256", agent.sha256)? })
}

/// One line of `codedeployagent.yml`: the agent's keys are Ruby symbols.
fn config_line(key: &Text, value: &Spanned<Value>) -> Checked<String> {
    let name = key.get_ref();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit()) {
        return Err(flaw(key, "codedeploy.config", "is no key of codedeployagent.yml"));
    }
    let plain = match value.get_ref() {
        Value::Integer(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::String(text) if is_printable(text) => format!("'{}'", text.replace('\'', "''")),
        Value::String(_) | Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
            let message = format!("codedeploy.config.{name}: it must be a number, true, false or a line of ASCII text");
            return Err(Flaw { offset: value.span().start, message });
        }
    };
    Ok(format!(":{name}: {plain}"))
}

/// Limits as `CreateTags` documents them.
fn tags(tags: BTreeMap<Text, Text>) -> Checked<BTreeMap<String, String>> {
    const MOST: usize = 50;
    if let Some((key, _)) = tags.iter().nth(MOST) {
        return Err(flaw(key, "tags", "is one too many; an instance takes 50 tags"));
    }
    let mut checked = BTreeMap::new();
    for (key, value) in tags {
        let key_length = key.get_ref().chars().count();
        if !(1..=128).contains(&key_length) {
            return Err(flaw(&key, "tags", "is no key; a key has 1 to 128 characters"));
        }
        if key.get_ref().to_ascii_lowercase().starts_with("aws:") {
            return Err(flaw(&key, "tags", "is refused by AWS, which keeps keys in `aws:` to itself"));
        }
        if key.get_ref() == "pitcrew:bootstrap" {
            return Err(flaw(&key, "tags", "is the bootstrap's own, which tells with it how a run ended"));
        }
        if value.get_ref().chars().count() > 256 {
            return Err(flaw(&value, &format!("tags.{}", key.get_ref()), "is longer than 256 characters"));
        }
        checked.insert(key.into_inner(), value.into_inner());
    }
    Ok(checked)
}

fn endpoints(endpoints: fragment::Endpoints) -> Checked<Endpoints> {
    let base = |key: &str, value: Option<Text>| -> Checked<String> {
        let Some(value) = value else { return Ok(String::new()) };
        let base = url(key, &value)?;
        if base.starts_with("https://") {
            Ok(base.trim_end_matches('/').to_owned())
        } else {
            Err(flaw(&value, key, "is not https"))
        }
    };
    let imds = match endpoints.imds {
        None => String::new(),
        Some(imds) if imds.get_ref().parse::<std::net::SocketAddrV4>().is_ok() => imds.into_inner(),
        Some(imds) => return Err(flaw(&imds, "endpoints.imds", "is no IPv4 address with a port")),
    };
    Ok(Endpoints {
        imds,
        s3: base("endpoints.s3", endpoints.s3)?,
        ec2: base("endpoints.ec2", endpoints.ec2)?,
        ca: absolute("endpoints.ca", endpoints.ca)?,
    })
}

fn digests(key: &str, digests: BTreeMap<Text, Text>) -> Checked<BTreeMap<String, String>> {
    let checked = digests.into_iter().map(|(object, sha256)| {
        if object.get_ref().is_empty() || !object.get_ref().bytes().all(is_url_byte) {
            return Err(flaw(&object, key, "is no end of an object's key"));
        }
        let sha256 = digest(&format!("{key}.\"{}\"", object.get_ref()), &sha256)?;
        Ok((object.into_inner(), sha256))
    });
    checked.collect()
}

fn digest(key: &str, value: &Text) -> Checked<String> {
    let digits = value.get_ref().to_ascii_lowercase();
    if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(digits)
    } else {
        Err(flaw(value, key, "is no SHA-256; it has 64 hexadecimal digits, as sha256sum prints them"))
    }
}

fn url(key: &str, value: &Text) -> Checked<String> {
    let address = value.get_ref();
    let host_follows =
        |scheme| address.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if (host_follows("https://") || host_follows("http://")) && address.bytes().all(is_url_byte) {
        Ok(address.clone())
    } else {
        Err(flaw(value, key, "is no address; write https://host/path"))
    }
}

/// Bytes of a URL that mean nothing to a shell, to curl's configuration or to the request's lines.
fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&()*+,;=%".contains(&byte)
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

fn is_version(text: &str) -> bool {
    text.split('.').count() >= 2
        && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn absolute(key: &str, value: Option<Text>) -> Checked<String> {
    match value {
        None => Ok(String::new()),
        Some(path) if path.get_ref().starts_with('/') && path.get_ref().bytes().all(is_url_byte) => {
            Ok(path.get_ref().trim_end_matches('/').to_owned())
        }
        Some(path) => Err(flaw(&path, key, "is no absolute path of plain characters")),
    }
}

/// A duration such as `90s`, `15m`, `1h` or `500ms`, within `range` milliseconds.
fn duration(key: &str, value: Option<Text>, range: std::ops::RangeInclusive<u64>, default: u64) -> Checked<Duration> {
    let Some(value) = value else { return Ok(Duration::from_millis(default)) };
    let text = value.get_ref();
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_lowercase());
    let unit = match text.strip_prefix(digits) {
        Some("ms") => Some(1),
        Some("s") => Some(1_000),
        Some("m") => Some(60_000),
        Some("h") => Some(3_600_000),
        Some(_) | None => None,
    };
    let millis = digits.parse::<u64>().ok().zip(unit).and_then(|(count, unit)| count.checked_mul(unit));
    match millis {
        Some(millis) if range.contains(&millis) => Ok(Duration::from_millis(millis)),
        Some(_) => {
            let (least, most) = (Duration::from_millis(*range.start()), Duration::from_millis(*range.end()));
            Err(flaw(&value, key, &format!("is out of range; it may be {least:?} to {most:?}")))
        }
        None => Err(flaw(&value, key, "is no duration; write one such as 90s, 15m or 500ms")),
    }
}

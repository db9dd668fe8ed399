use std::cell::RefCell;

use super::*;

const PACKAGE: &[u8] = include_bytes!("../openpgp/testdata/package");
const SIGNATURE: &[u8] = include_bytes!("../openpgp/testdata/in-life.sig");
const OF_PACKAGE: &str = "c5919a885d0e983e8bcfedc3ad1ab67b4020c2c31be5bfc2e8117f072fdc9106";

/// A network of a few files, which remembers what was asked of it.
#[derive(Default)]
struct Files {
    files: BTreeMap<String, Vec<u8>>,
    asked: RefCell<Vec<String>>,
}

impl Files {
    fn with(mut self, url: &str, file: &[u8]) -> Self {
        self.files.insert(url.to_owned(), file.to_vec());
        self
    }
}

impl Fetch for Files {
    async fn fetch(&self, url: &str, progress: &mut dyn FnMut(Progress)) -> Result<Vec<u8>, FetchError> {
        self.asked.borrow_mut().push(url.to_owned());
        let missing = || FetchError::Status { url: url.to_owned(), status: 404 };
        let file = self.files.get(url).cloned().ok_or_else(missing)?;
        progress(Progress { received: file.len() as u64, total: Some(file.len() as u64) });
        Ok(file)
    }
}

fn settings(text: &str) -> Settings {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/openpgp/testdata/bootstrap.toml");
    Settings::parse(text, &folder).unwrap()
}

async fn pin_x86(text: &str, offline: bool, files: &Files) -> (Result<Pinned, PinError>, Vec<String>) {
    let mut news = Vec::new();
    let pinned = pin(&settings(text), &[Arch::X86_64], offline, files, &mut |item| news.push(item.to_string())).await;
    (pinned, news)
}

const SIGNED: &str = r#"
    systems = ["al2023"]
    [ssm]
    version = "3.3.1.0"
    source = "https://bucket"
    signing_keys = ["signer.asc"]
"#;

fn bucket() -> Files {
    Files::default()
        .with("https://bucket/3.3.1.0/linux_amd64/amazon-ssm-agent.rpm", PACKAGE)
        .with("https://bucket/3.3.1.0/linux_amd64/amazon-ssm-agent.rpm.sig", SIGNATURE)
}

#[tokio::test]
async fn signed_package_is_pinned_by_its_digest_and_told() {
    let (pinned, news) = pin_x86(SIGNED, false, &bucket()).await;
    let pinned = pinned.unwrap();
    let digest = sha256(PACKAGE);
    assert_eq!(pinned.ssm_version.as_deref(), Some("3.3.1.0"));
    assert_eq!(pinned.objects, BTreeMap::from([("linux_amd64/amazon-ssm-agent.rpm".to_owned(), digest.clone())]));
    assert!(news.iter().any(|line| line.contains("signed on 2025-06-01 by Signer")), "{news:?}");
    assert!(news.iter().any(|line| line.contains("[ssm.sha256] \"linux_amd64/amazon-ssm-agent.rpm\"")), "{news:?}");
}

#[tokio::test]
async fn unsigned_or_altered_package_is_never_pinned() {
    let altered = bucket().with("https://bucket/3.3.1.0/linux_amd64/amazon-ssm-agent.rpm", b"altered");
    let (error, _) = pin_x86(SIGNED, false, &altered).await;
    assert!(matches!(error.unwrap_err(), PinError::Signature { .. }));

    let mut unsigned = bucket();
    unsigned.files.retain(|url, _| !url.ends_with(".sig"));
    let (error, _) = pin_x86(SIGNED, false, &unsigned).await;
    assert!(matches!(error.unwrap_err(), PinError::Fetch(FetchError::Status { status: 404, .. })));
}

#[tokio::test]
async fn signature_by_a_key_that_nobody_trusts_is_refused() {
    let (error, _) = pin_x86(&SIGNED.replace(r#"signing_keys = ["signer.asc"]"#, ""), false, &bucket()).await;
    let PinError::Signature { source, .. } = error.unwrap_err() else { panic!("another error") };
    assert!(matches!(*source, SignatureError::UnknownKey { .. }));
}

#[tokio::test]
async fn latest_means_what_the_bucket_says_today() {
    let files = bucket().with("https://bucket/latest/VERSION", b"3.3.1.0\n");
    let (pinned, news) = pin_x86(&SIGNED.replace("3.3.1.0", "latest"), false, &files).await;
    assert_eq!(pinned.unwrap().ssm_version.as_deref(), Some("3.3.1.0"));
    assert!(news.contains(&"latest SSM agent is 3.3.1.0".to_owned()));

    let error_page = bucket().with("https://bucket/latest/VERSION", b"<html>");
    let (error, _) = pin_x86(&SIGNED.replace("3.3.1.0", "latest"), false, &error_page).await;
    assert!(matches!(error.unwrap_err(), PinError::Latest { .. }));
}

#[tokio::test]
async fn offline_asks_for_nothing_and_says_which_line_is_missing() {
    let files = bucket();
    let (error, _) = pin_x86(SIGNED, true, &files).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("add \"linux_amd64/amazon-ssm-agent.rpm\" = \"…\" under [ssm.sha256]"), "{error}");

    let given = format!("{SIGNED}\nsha256 = {{ \"linux_amd64/amazon-ssm-agent.rpm\" = \"{OF_PACKAGE}\" }}");
    let (pinned, _) = pin_x86(&given, true, &files).await;
    assert_eq!(pinned.unwrap().objects["linux_amd64/amazon-ssm-agent.rpm"], OF_PACKAGE);
    assert_eq!(*files.asked.borrow(), Vec::<String>::new());
}

#[tokio::test]
async fn only_what_the_groups_systems_and_architectures_need_is_pinned() {
    let platforms = |text: &str, archs: &[Arch]| ssm_platforms(&settings(text), archs);
    assert_eq!(platforms("systems = [\"debian12\"]", &[Arch::Aarch64]), ["debian_arm64/amazon-ssm-agent.deb"]);
    assert_eq!(platforms("", &[Arch::X86_64, Arch::Aarch64]).len(), 4);
}

#[tokio::test]
async fn system_without_a_package_is_named() {
    let text = r#"
        systems = ["al2023", "debian12"]
        [[package]]
        arch = "x86_64"
        url = "https://packages/pitcrew.rpm"
    "#;
    let files = Files::default().with("https://packages/pitcrew.rpm", PACKAGE);
    let (error, _) = pin_x86(text, false, &files).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("is a .deb for x86_64, which debian12 needs"), "{error}");

    let (pinned, _) = pin_x86(&text.replace(", \"debian12\"", ""), false, &files).await;
    assert_eq!(pinned.unwrap().packages[0].1, sha256(PACKAGE));
}

use super::*;

fn parse(text: &str) -> Result<Settings, String> {
    Settings::parse(text, Path::new("conf/bootstrap.toml")).map_err(|error| error.to_string())
}

#[test]
fn shipped_example_is_accepted_and_uses_every_table() {
    let settings = parse(include_str!("../../../../packaging/bootstrap.example.toml")).unwrap();
    assert!(matches!(settings.ssm, Some(Ssm::Install { .. })));
    assert_eq!(settings.codedeploy.map(|agent| agent.version), Some(CodeDeployVersion::V2));
    assert!(!settings.packages.is_empty() && !settings.tags.is_empty() && !settings.systems.is_empty());
}

#[test]
fn empty_file_asks_for_nothing() {
    let settings = parse("").unwrap();
    assert_eq!((settings.ssm, settings.codedeploy), (None, None));
    assert_eq!(settings.deadline, Duration::from_secs(900));
    assert_eq!(settings.pace, Duration::from_secs(1));
}

#[test]
fn everything_that_is_written_is_meant() {
    let settings = parse(
        r#"
        systems = ["al2023", "debian12"]
        [run]
        deadline = "20m"
        [[package]]
        arch = "aarch64"
        url = "https://packages.example.com/pitcrew.rpm"
        sha256 = "00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff"
        [ssm]
        version = "3.3.3050.0"
        region = "cn-north-1"
        signing_keys = ["next.asc"]
        [codedeploy]
        version = "1"
        config = { max_revisions = 2, verbose = false, proxy_uri = "http://it's:3128" }
        [tags]
        "pitcrew:ready" = "true"
        [endpoints]
        s3 = "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com/"
        "#,
    )
    .unwrap();
    assert_eq!(settings.systems.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["al2023", "debian12"]);
    assert_eq!(settings.deadline, Duration::from_secs(1200));
    assert_eq!((settings.packages[0].arch, settings.packages[0].kind), (Arch::Aarch64, PackageKind::Rpm));
    assert!(settings.packages[0].sha256.as_deref().unwrap().contains("aabbccddeeff"));
    let Some(Ssm::Install { source, signing_keys, .. }) = &settings.ssm else { panic!("{settings:?}") };
    assert_eq!(source, "https://s3.cn-north-1.amazonaws.com.cn/amazon-ssm-cn-north-1");
    assert_eq!(signing_keys, &[Path::new("conf/next.asc")]);
    let config = settings.codedeploy.unwrap().config;
    assert_eq!(config, [":max_revisions: 2", ":proxy_uri: 'http://it''s:3128'", ":verbose: false"]);
    assert_eq!(settings.endpoints.s3, "https://bucket.vpce-1.s3.eu-west-1.vpce.amazonaws.com");
}

#[test]
fn each_mistake_is_named_with_file_line_and_key() {
    for (text, line, words) in [
        ("\n[ssm]\nversion = \"ensure\"\nverison = 1\n", 4, "unknown field `verison`"),
        ("\n[ssm]\nversion = \n", 3, ""),
        ("\n[ssm]\nversion = 3\n", 3, "`version`: invalid type: integer `3`, expected a string"),
        ("[package]\nurl = \"https://h/p.deb\"\n", 1, "`[package]`: invalid type: map, expected a sequence"),
        ("systems = [\n  \"al2023\",\n  \"al2024\",\n]\n", 3, "systems: `al2024` is not known; known are al2,"),
        ("[run]\ndeadline = \"15\"\n", 2, "run.deadline: `15` is no duration"),
        ("[run]\ndeadline = \"3h\"\n", 2, "run.deadline: `3h` is out of range; it may be 60s to 7200s"),
        ("[run]\nroot = \"tmp\"\n", 2, "run.root: `tmp` is no absolute path"),
        ("[[package]]\narch = \"arm64\"\nurl = \"https://h/p.deb\"\n", 2, "package.arch: `arm64` is none"),
        (
            "[[package]]\narch = \"x86_64\"\nurl = \"https://h/p.zip\"\n",
            3,
            "package.url: `https://h/p.zip` ends in neither",
        ),
        ("[[package]]\narch = \"x86_64\"\nurl = \"http://h/p.deb\"\n", 3, "is not https, so it needs a sha256"),
        (
            "[[package]]\narch = \"x86_64\"\nurl = \"https://h/a b.deb\"\n",
            3,
            "package.url: `https://h/a b.deb` is no address",
        ),
        (
            "[[package]]\narch = \"x86_64\"\nurl = \"https://h/p.deb\"\nsha256 = \"12\"\n",
            4,
            "package.sha256: `12` is no SHA-256",
        ),
        ("[ssm]\nversion = \"newest\"\n", 2, "ssm.version: `newest` is none"),
        ("[ssm]\nversion = \"3.3.1.0\"\nregion = \"Frankfurt\"\n", 3, "ssm.region: `Frankfurt` is no region"),
        ("[ssm]\nversion = \"3.3.1.0\"\nregion = \"eu-west-1\"\nsource = \"https://h/\"\n", 3, "keep one of them"),
        ("[ssm]\nversion = \"ensure\"\nregion = \"eu-west-1\"\n", 3, "has no meaning with version = \"ensure\""),
        ("[ssm]\nversion = \"3.3.1.0\"\nsha256 = { \"a\" = \"b\" }\n", 3, "ssm.sha256.\"a\": `b` is no SHA-256"),
        ("[codedeploy]\nversion = \"3\"\n", 2, "codedeploy.version: `3` is none"),
        ("[codedeploy]\nversion = \"2\"\nconfig = { \"a b\" = 1 }\n", 3, "codedeploy.config: `a b` is no key"),
        (
            "[codedeploy]\nversion = \"2\"\n[codedeploy.config]\nproxy_uri = \"a\\nb\"\n",
            4,
            "codedeploy.config.proxy_uri",
        ),
        ("[tags]\n\"pitcrew:bootstrap\" = \"y\"\n", 2, "tags: `pitcrew:bootstrap` is the bootstrap's own"),
        ("[tags]\n\"aws:x\" = \"y\"\n", 2, "tags: `aws:x` is refused by AWS"),
        ("[tags]\n\"\" = \"y\"\n", 2, "tags: `` is no key"),
        ("[endpoints]\nimds = \"localhost:80\"\n", 2, "endpoints.imds: `localhost:80` is no IPv4 address"),
        ("[endpoints]\nec2 = \"http://h\"\n", 2, "endpoints.ec2: `http://h` is not https"),
        ("[endpoints]\nca = \"ca.pem\"\n", 2, "endpoints.ca: `ca.pem` is no absolute path"),
    ] {
        let error = parse(text).unwrap_err();
        let place = format!("conf/bootstrap.toml:{line}: ");
        assert!(error.starts_with(&place) && error.contains(words), "{error}\nshould be at {line} and say: {words}");
    }
}

#[test]
fn fifty_first_tag_and_too_long_ones_are_refused() {
    let many: String = (0..51).map(|n| format!("\"k{n:02}\" = \"v\"\n")).collect();
    assert!(parse(&format!("[tags]\n{many}")).unwrap_err().contains("`k50` is one too many"));
    let long = "x".repeat(257);
    assert!(parse(&format!("[tags]\nkey = \"{long}\"\n")).unwrap_err().contains("longer than 256"));
    assert!(parse(&format!("[tags]\n{} = \"\"\n", &long[..129])).unwrap_err().contains("1 to 128"));
    assert!(parse(&format!("[tags]\n{} = \"{}\"\n", &long[..128], &long[..256])).is_ok());
}

proptest::proptest! {
    #[test]
    fn any_text_is_settings_or_an_error_that_names_the_file(text in "(\\[|\\]|=|\"|\n|[a-z0-9. ]|ssm|tags|run|version|é){0,60}") {
        if let Err(error) = parse(&text) {
            proptest::prop_assert!(error.starts_with("conf/bootstrap.toml:"), "{}", error);
        }
    }
}

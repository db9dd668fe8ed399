//! This instance's own tags: three calls of the EC2 API, without its SDK.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_smithy_xml::decode::{Document, XmlDecodeError, try_data};
use form_urlencoded::Serializer;
use pitcrew_core::ids::InstanceId;
use pitcrew_core::wire::{Failure, FailureKind};

use super::aws::Doors;
use super::failure::Asked;
use super::query::Service;
use crate::intake::imds::Identity;

/// The API's version.
const VERSION: &str = "2016-11-15";

/// The tags of this instance.
pub struct Tags {
    service: Service,
    instance: InstanceId,
    arn: String,
}

impl Tags {
    /// The tags of `instance`, whose account, partition and `domain` (`amazonaws.com`) are its own.
    pub fn new(config: SdkConfig, doors: Doors, instance: InstanceId, owner: &Owner<'_>) -> Self {
        let region = config.region().map_or("*", |region| region.as_ref());
        let arn = format!("arn:{}:ec2:{region}:{}:instance/{instance}", owner.partition, owner.account);
        let service = Service { config, doors, name: "ec2", id: "EC2", domain: owner.domain.to_owned() };
        Self { service, instance, arn }
    }

    /// Removes the tags with these keys; one that is not there is as good. Fails with `Denied` where the role lacks
    /// `ec2:DeleteTags`.
    pub async fn delete(&self, keys: &[String]) -> Result<(), Failure> {
        let tags: Vec<_> = keys.iter().map(|key| (key.as_str(), None)).collect();
        self.call("DeleteTags", "ec2:DeleteTags", &tags).await
    }

    /// Sets tags; one that is there gets the new value. Fails with `Denied` where the role lacks `ec2:CreateTags`.
    pub async fn create(&self, tags: &[(&str, &str)]) -> Result<(), Failure> {
        let tags: Vec<_> = tags.iter().map(|(key, value)| (*key, Some(*value))).collect();
        self.call("CreateTags", "ec2:CreateTags", &tags).await
    }

    /// Whether the role may set a tag with this key on this instance: asked, and not done. Fails as [`Tags::create`].
    pub(crate) async fn may_create(&self, key: &str) -> Result<(), Failure> {
        let object = format!("instance `{}`", self.instance);
        let asked = Asked { permission: "ec2:CreateTags", object: &object, resource: &self.arn };
        let form = self.form("CreateTags", &[(key, Some(""))]) + "&DryRun=true";
        self.service.post(form, &asked).await.map(drop)
    }

    /// The instances that carry a tag with this key, and with this value where one is given. Fails with `Denied` where
    /// the caller lacks `ec2:DescribeTags`.
    pub async fn find(&self, key: &str, value: Option<&str>) -> Result<Vec<String>, Failure> {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", "DescribeTags").append_pair("Version", VERSION);
        let filters = [("resource-type", Some("instance")), ("key", Some(key)), ("value", value)];
        for (number, (name, value)) in (1..).zip(filters.iter().filter_map(|(name, value)| Some((name, (*value)?)))) {
            form.append_pair(&format!("Filter.{number}.Name"), name);
            form.append_pair(&format!("Filter.{number}.Value.1"), value);
        }
        let object = format!("instances with the tag `{key}`");
        let asked = Asked { permission: "ec2:DescribeTags", object: &object, resource: "*" };
        let body = self.service.post(form.finish(), &asked).await?;
        Ok(read_resources(&String::from_utf8_lossy(&body)).unwrap_or_default())
    }

    /// Every tag of the instance, by key. Fails with `Denied` where the role lacks `ec2:DescribeTags`.
    pub async fn describe(&self) -> Result<BTreeMap<String, String>, Failure> {
        let form = Serializer::new(String::new())
            .append_pair("Action", "DescribeTags")
            .append_pair("Version", VERSION)
            .append_pair("Filter.1.Name", "resource-id")
            .append_pair("Filter.1.Value.1", self.instance.as_str())
            .finish();
        let object = format!("instance `{}`", self.instance);
        let asked = Asked { permission: "ec2:DescribeTags", object: &object, resource: "*" };
        let body = self.service.post(form, &asked).await?;
        read_tags(&String::from_utf8_lossy(&body)).map_err(|error| {
            let sentence = format!("DescribeTags on {object} was answered with what cannot be read: {error}");
            Failure { kind: FailureKind::Unavailable, sentence }
        })
    }

    async fn call(&self, action: &str, permission: &'static str, tags: &[(&str, Option<&str>)]) -> Result<(), Failure> {
        let object = format!("instance `{}`", self.instance);
        let asked = Asked { permission, object: &object, resource: &self.arn };
        self.service.post(self.form(action, tags), &asked).await.map(drop)
    }

    fn form(&self, action: &str, tags: &[(&str, Option<&str>)]) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", action)
            .append_pair("Version", VERSION)
            .append_pair("ResourceId.1", self.instance.as_str());
        for (number, (key, value)) in (1..).zip(tags) {
            form.append_pair(&format!("Tag.{number}.Key"), key);
            if let Some(value) = value {
                form.append_pair(&format!("Tag.{number}.Value"), value);
            }
        }
        form.finish()
    }
}

/// Whose the instance is.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// `aws`, `aws-cn` …
    pub partition: &'a str,
    /// The account's twelve digits.
    pub account: &'a str,
    /// `amazonaws.com`, `amazonaws.com.cn` …
    pub domain: &'a str,
}

impl<'a> Owner<'a> {
    /// The instance's own.
    pub fn of(identity: &'a Identity) -> Self {
        Self { partition: &identity.partition, account: &identity.account, domain: &identity.domain }
    }
}

/// `<DescribeTagsResponse><tagSet><item><key>…</key><value>…</value>…</item>…</tagSet></DescribeTagsResponse>`.
fn read_tags(text: &str) -> Result<BTreeMap<String, String>, XmlDecodeError> {
    let mut tags = BTreeMap::new();
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    while let Some(mut set) = root.next_tag() {
        while let Some(mut item) = set.next_tag() {
            let (mut key, mut value) = (String::new(), String::new());
            while let Some(mut fact) = item.next_tag() {
                match fact.start_el().local() {
                    "key" => key = try_data(&mut fact)?.into_owned(),
                    "value" => value = try_data(&mut fact)?.into_owned(),
                    _ => {}
                }
            }
            if !key.is_empty() {
                tags.insert(key, value);
            }
        }
    }
    Ok(tags)
}

/// `<DescribeTagsResponse><tagSet><item><resourceId>…`.
fn read_resources(text: &str) -> Result<Vec<String>, XmlDecodeError> {
    let mut ids = Vec::new();
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    while let Some(mut set) = root.next_tag() {
        while let Some(mut item) = set.next_tag() {
            while let Some(mut fact) = item.next_tag() {
                if fact.start_el().local() == "resourceId" {
                    ids.push(try_data(&mut fact)?.into_owned());
                }
            }
        }
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

impl std::fmt::Debug for Tags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tags({})", self.instance)
    }
}

//! This instance's own tags: two calls of the EC2 API, without its SDK.

use aws_config::SdkConfig;
use form_urlencoded::Serializer;
use pitcrew_core::ids::InstanceId;
use pitcrew_core::wire::Failure;

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

    async fn call(&self, action: &str, permission: &'static str, tags: &[(&str, Option<&str>)]) -> Result<(), Failure> {
        let object = format!("instance `{}`", self.instance);
        let asked = Asked { permission, object: &object, resource: &self.arn };
        self.service.post(self.form(action, tags), &asked).await
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

impl std::fmt::Debug for Tags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tags({})", self.instance)
    }
}

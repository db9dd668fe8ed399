//! What CodeDeploy says of a deployment group: its type, who moves its traffic, and which instances it selects.

use std::collections::BTreeMap;

use aws_sdk_codedeploy::types::{
    DeploymentGroupInfo, DeploymentOption, DeploymentType, Ec2TagFilter, Ec2TagFilterType, LoadBalancerInfo,
};
use pitcrew_core::wire::Owner;

/// A deployment group, as far as an instance or its operator must know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Deploys onto the instances that are there, not onto new ones.
    pub in_place: bool,
    /// Who moves traffic.
    pub owner: Owner,
    /// The names of its target groups and load balancers.
    pub balancers: Vec<String>,
    /// Each list must match by one of its filters.
    pub selects: Vec<Vec<TagFilter>>,
    /// Its Auto Scaling groups, whose instances it selects, too.
    pub scaling_groups: Vec<String>,
}

/// One filter on an instance's tags; what is absent matches anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    /// The tag's key.
    pub key: Option<String>,
    /// The tag's value.
    pub value: Option<String>,
}

impl Group {
    /// As CodeDeploy describes it.
    pub(super) fn of(info: &DeploymentGroupInfo) -> Self {
        let style = info.deployment_style();
        let controlled = style
            .and_then(|style| style.deployment_option())
            .is_some_and(|option| *option == DeploymentOption::WithTrafficControl);
        let balancers = info.load_balancer_info().map(balancers).unwrap_or_default();
        let moves = controlled && !balancers.is_empty();
        let mut selects: Vec<Vec<TagFilter>> = Vec::new();
        if !info.ec2_tag_filters().is_empty() {
            selects.push(info.ec2_tag_filters().iter().map(TagFilter::of).collect());
        }
        if let Some(set) = info.ec2_tag_set() {
            selects.extend(set.ec2_tag_set_list().iter().map(|list| list.iter().map(TagFilter::of).collect()));
        }
        Self {
            in_place: style
                .and_then(|style| style.deployment_type())
                .is_none_or(|deployment_type| *deployment_type == DeploymentType::InPlace),
            owner: if moves { Owner::CodeDeploy } else { Owner::Pitcrew },
            balancers,
            selects,
            scaling_groups: info
                .auto_scaling_groups()
                .iter()
                .filter_map(|group| group.name().map(str::to_owned))
                .collect(),
        }
    }

    /// Whether an instance with these tags is selected by them.
    pub fn selects(&self, tags: &BTreeMap<String, String>) -> bool {
        !self.selects.is_empty() && self.selects.iter().all(|any| any.iter().any(|filter| filter.matches(tags)))
    }

    /// The selection in words: `pitcrew:ready=true and (env=prod or env=stage)`.
    pub(crate) fn selection(&self) -> String {
        let lists: Vec<_> = self
            .selects
            .iter()
            .map(|any| {
                let words: Vec<_> = any.iter().map(TagFilter::words).collect();
                if any.len() == 1 { words.concat() } else { format!("({})", words.join(" or ")) }
            })
            .collect();
        lists.join(" and ")
    }
}

impl TagFilter {
    fn of(filter: &Ec2TagFilter) -> Self {
        let (key, value) = (filter.key().map(str::to_owned), filter.value().map(str::to_owned));
        match filter.r#type() {
            Some(Ec2TagFilterType::KeyOnly) => Self { key, value: None },
            Some(Ec2TagFilterType::ValueOnly) => Self { key: None, value },
            Some(_) | None => Self { key, value },
        }
    }

    fn matches(&self, tags: &BTreeMap<String, String>) -> bool {
        tags.iter().any(|(key, value)| {
            self.key.as_ref().is_none_or(|wanted| wanted == key)
                && self.value.as_ref().is_none_or(|wanted| wanted == value)
        })
    }

    fn words(&self) -> String {
        let or_any = |word: &Option<String>| word.clone().unwrap_or_else(|| "*".to_owned());
        format!("{}={}", or_any(&self.key), or_any(&self.value))
    }
}

fn balancers(info: &LoadBalancerInfo) -> Vec<String> {
    let classic = info.elb_info_list().iter().filter_map(|balancer| balancer.name());
    let groups = info.target_group_info_list().iter().filter_map(|group| group.name());
    let pairs = info.target_group_pair_info_list().iter().flat_map(|pair| pair.target_groups());
    classic.chain(groups).chain(pairs.filter_map(|group| group.name())).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(key: &str, value: Option<&str>) -> TagFilter {
        TagFilter { key: Some(key.to_owned()), value: value.map(str::to_owned) }
    }

    fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
        tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_instance_is_selected_that_matches_every_list_by_one_of_its_filters() {
        let group = Group {
            in_place: true,
            owner: Owner::Pitcrew,
            balancers: Vec::new(),
            selects: vec![
                vec![filter("pitcrew:ready", Some("true"))],
                vec![filter("env", Some("prod")), filter("canary", None)],
            ],
            scaling_groups: Vec::new(),
        };
        assert!(group.selects(&tags(&[("pitcrew:ready", "true"), ("env", "prod")])));
        assert!(group.selects(&tags(&[("pitcrew:ready", "true"), ("canary", "")])));
        assert!(!group.selects(&tags(&[("pitcrew:ready", "false"), ("env", "prod")])));
        assert!(!group.selects(&tags(&[("env", "prod")])));
        assert_eq!(group.selection(), "pitcrew:ready=true and (env=prod or canary=*)");
        assert!(!Group { selects: Vec::new(), ..group }.selects(&tags(&[("a", "b")])), "no filter selects nobody");
    }
}

//! The table of R4 search parameters, read once.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::fhir::name::ResourceType;
use crate::fhir::path::Path;

/// How the values of a parameter are compared (R4 3.1.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// A reference by canonical URL, with or without a version.
    Canonical,
    /// A point or span of time.
    Date,
    /// A plain number.
    Number,
    /// A number with a unit.
    Quantity,
    /// A reference to a resource.
    Reference,
    /// Text, compared from its beginning without regard to case and accents.
    String,
    /// A code, with or without its system.
    Token,
    /// A URI, compared exactly.
    Uri,
}

/// What R4 says about one parameter of one resource type.
#[derive(Debug)]
pub struct Definition {
    /// The parameter's name.
    pub name: Box<str>,
    /// How its values compare.
    pub kind: ParameterKind,
    /// Types a reference may lead to; `Resource` is any.
    pub targets: Vec<Box<str>>,
    /// The elements it reads.
    pub paths: Vec<Path>,
}

type ByName = HashMap<Box<str>, Definition>;

struct Table {
    of_type: HashMap<ResourceType, ByName>,
    of_every_type: ByName,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut table = Table { of_type: HashMap::new(), of_every_type: HashMap::new() };
    for line in super::DEFINITIONS.lines().filter(|line| !line.starts_with(['#', '@'])) {
        let Some((owner, definition)) = row(line) else { continue };
        let by_name = match ResourceType::parse(owner) {
            Ok(resource_type) => table.of_type.entry(resource_type).or_default(),
            Err(_) if owner == "Resource" => &mut table.of_every_type,
            Err(_) => continue,
        };
        by_name.insert(definition.name.clone(), definition);
    }
    table
});

fn row(line: &str) -> Option<(&str, Definition)> {
    let mut cells = line.split('\t');
    let (owner, name, kind, targets, paths) =
        (cells.next()?, cells.next()?, cells.next()?, cells.next()?, cells.next()?);
    let kind = match kind {
        "canonical" => ParameterKind::Canonical,
        "date" => ParameterKind::Date,
        "number" => ParameterKind::Number,
        "quantity" => ParameterKind::Quantity,
        "reference" => ParameterKind::Reference,
        "string" => ParameterKind::String,
        "token" => ParameterKind::Token,
        "uri" => ParameterKind::Uri,
        _ => return None,
    };
    let targets = targets.split(',').filter(|target| *target != "-").map(Into::into).collect();
    let paths = paths.split(';').map(Path::parse).collect::<Option<_>>()?;
    Some((owner, Definition { name: name.into(), kind, targets, paths }))
}

/// The definition of parameter `name` for `resource_type`, those of every resource (`_id`) included.
pub fn lookup(resource_type: ResourceType, name: &str) -> Option<&'static Definition> {
    let own = TABLE.of_type.get(&resource_type).and_then(|by_name| by_name.get(name));
    own.or_else(|| TABLE.of_every_type.get(name))
}

/// The names of all parameters that can be evaluated for `resource_type`, sorted, without those of every type.
pub fn names(resource_type: ResourceType) -> Vec<&'static str> {
    let mut names: Vec<&'static str> =
        TABLE.of_type.get(&resource_type).into_iter().flat_map(HashMap::keys).map(|name| &**name).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_understood() {
        let lines = super::super::DEFINITIONS.lines().filter(|line| !line.starts_with(['#', '@']));
        let mut owners = 0;
        for line in lines {
            let (owner, definition) = row(line).unwrap();
            assert!(!definition.paths.is_empty());
            assert!(owner == "Resource" || ResourceType::parse(owner).is_ok(), "{owner}");
            owners += 1;
        }
        assert!(owners > 1_000);
    }

    #[test]
    fn parameters_of_every_type_are_found_for_each() {
        let observation = ResourceType::parse("Observation").unwrap();
        assert_eq!(lookup(observation, "_id").unwrap().kind, ParameterKind::Token);
        assert_eq!(lookup(observation, "date").unwrap().paths.len(), 1);
        assert!(lookup(observation, "birthdate").is_none());
        assert!(names(observation).contains(&"category"));
    }
}

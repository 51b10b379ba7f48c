//! A document: operations and fragments (GraphQL, October 2021, sections 2.2 to 2.12).

use std::collections::{BTreeMap, HashMap, HashSet};

use agentguard_core::{GraphqlField, GraphqlOperation};
use serde_json::{Map, Value};

use super::MOST_FIELDS;
use super::token::{self, Token};

/// How deep selections and values lie within one another.
const DEEPEST: usize = 48;
/// How much is shown of one document: a variable of many bytes may stand in many places.
const MOST_SHOWN: usize = 96 << 10;
const TOO_MUCH: &str = "it asks for too much at once";

/// What a document is made of.
#[derive(Debug, Default)]
pub(super) struct Document<'d> {
    operations: Vec<Operation<'d>>,
    fragments: HashMap<&'d str, Vec<Selection<'d>>>,
}

#[derive(Debug)]
struct Operation<'d> {
    kind: GraphqlOperation,
    /// Its variables, each with what it is where nobody says.
    variables: HashMap<&'d str, Option<Given<'d>>>,
    selections: Vec<Selection<'d>>,
}

/// What is selected at one place. What lies within a field is read, and not kept.
#[derive(Debug)]
enum Selection<'d> {
    Field {
        name: &'d str,
        arguments: Vec<(&'d str, Given<'d>)>,
    },
    Spread(&'d str),
    Inline(Vec<Self>),
}

/// A value, as far as it is known.
#[derive(Debug)]
enum Given<'d> {
    Value(Value),
    Variable(&'d str),
    List(Vec<Self>),
    Object(Vec<(&'d str, Self)>),
}

/// Reads a document.
pub(super) fn read(document: &str) -> Result<Document<'_>, &'static str> {
    let mut reader = Reader {
        tokens: token::read(document)?.into_iter().peekable(),
        depth: 0,
    };
    let mut document = Document::default();
    while reader.tokens.peek().is_some() {
        reader.definition(&mut document)?;
    }
    if document.operations.is_empty() {
        return Err("it has no operation");
    }
    Ok(document)
}

impl Document<'_> {
    /// Adds the fields at the roots of all operations.
    pub(super) fn fields(
        &self,
        variables: &Map<String, Value>,
        fields: &mut Vec<GraphqlField>,
    ) -> Result<(), &'static str> {
        let mut left = MOST_SHOWN;
        for operation in &self.operations {
            let mut within = Within {
                document: self,
                operation,
                variables,
                seen: HashSet::new(),
                depth: 0,
                left: &mut left,
                fields,
            };
            within.add(&operation.selections)?;
        }
        Ok(())
    }
}

/// The root of an operation.
struct Within<'w, 'd> {
    document: &'w Document<'d>,
    operation: &'w Operation<'d>,
    variables: &'w Map<String, Value>,
    /// The fragments that were spread: a second time they say nothing new, and never come to an end.
    seen: HashSet<&'d str>,
    depth: usize,
    left: &'w mut usize,
    fields: &'w mut Vec<GraphqlField>,
}

impl<'w, 'd> Within<'w, 'd> {
    fn add(&mut self, selections: &'w [Selection<'d>]) -> Result<(), &'static str> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is too deep");
        }
        for selection in selections {
            match selection {
                Selection::Field { name, arguments } => {
                    let mut filled = BTreeMap::new();
                    self.show(name.len())?;
                    for (argument, given) in arguments {
                        self.show(argument.len())?;
                        if let Some(value) = self.fill(given)? {
                            filled.insert((*argument).to_owned(), value);
                        }
                    }
                    self.fields.push(GraphqlField {
                        operation: self.operation.kind,
                        field: (*name).to_owned(),
                        arguments: filled,
                    });
                    if self.fields.len() > MOST_FIELDS {
                        return Err(TOO_MUCH);
                    }
                }
                Selection::Spread(name) => {
                    let fragment = self.document.fragments.get(name);
                    let fragment = fragment.ok_or("it names a fragment that is not there")?;
                    if self.seen.insert(name) {
                        self.add(fragment)?;
                    }
                }
                Selection::Inline(selections) => self.add(selections)?,
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Makes sure that so much more may be shown.
    fn show(&mut self, length: usize) -> Result<(), &'static str> {
        *self.left = self.left.checked_sub(length + 1).ok_or(TOO_MUCH)?;
        Ok(())
    }

    /// What a value is. One that nobody gave is none.
    fn fill(&mut self, given: &Given<'d>) -> Result<Option<Value>, &'static str> {
        Ok(match given {
            Given::Value(value) => {
                self.show(weight(value))?;
                Some(value.clone())
            }
            Given::Variable(name) => {
                let declared = self.operation.variables.get(name);
                let usual = declared.ok_or("it uses a variable that it does not declare")?;
                match (self.variables.get(*name), usual) {
                    (Some(value), _) => {
                        self.show(weight(value))?;
                        Some(value.clone())
                    }
                    (None, Some(usual)) => self.fill(usual)?,
                    (None, None) => None,
                }
            }
            Given::List(list) => {
                let mut filled = Vec::new();
                for one in list {
                    self.show(1)?;
                    filled.push(self.fill(one)?.unwrap_or(Value::Null));
                }
                Some(Value::Array(filled))
            }
            Given::Object(object) => {
                let mut filled = Map::new();
                for (name, one) in object {
                    self.show(name.len())?;
                    if let Some(value) = self.fill(one)? {
                        filled.insert((*name).to_owned(), value);
                    }
                }
                Some(Value::Object(filled))
            }
        })
    }
}

/// About how long a value is.
fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(list) => list.iter().map(|one| weight(one) + 1).sum::<usize>() + 2,
        Value::Object(object) => {
            let pairs = object
                .iter()
                .map(|(name, one)| name.len() + weight(one) + 4);
            pairs.sum::<usize>() + 2
        }
    }
}

impl Given<'_> {
    fn is_constant(&self) -> bool {
        match self {
            Given::Value(_) => true,
            Given::Variable(_) => false,
            Given::List(list) => list.iter().all(Self::is_constant),
            Given::Object(object) => object.iter().all(|(_, one)| one.is_constant()),
        }
    }
}

struct Reader<'d> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token<'d>>>,
    depth: usize,
}

const UNEXPECTED: &str = "it is not written as GraphQL is";

impl<'d> Reader<'d> {
    fn definition(&mut self, document: &mut Document<'d>) -> Result<(), &'static str> {
        let kind = match self.tokens.peek() {
            Some(Token::Mark('{')) => GraphqlOperation::Query,
            Some(Token::Name(word)) => match *word {
                "query" => GraphqlOperation::Query,
                "mutation" => GraphqlOperation::Mutation,
                "subscription" => GraphqlOperation::Subscription,
                "fragment" => return self.fragment(document),
                // Types are for servers to define.
                _ => return Err(UNEXPECTED),
            },
            Some(_) | None => return Err(UNEXPECTED),
        };
        let mut variables = HashMap::new();
        if !self.is_next('{') {
            let _kind = self.name()?;
            if matches!(self.tokens.peek(), Some(Token::Name(_))) {
                let _name = self.name()?;
            }
            variables = self.variables()?;
            self.directives()?;
        }
        let selections = self.selections()?;
        document.operations.push(Operation {
            kind,
            variables,
            selections,
        });
        Ok(())
    }

    fn fragment(&mut self, document: &mut Document<'d>) -> Result<(), &'static str> {
        let _fragment = self.name()?;
        let name = self.name()?;
        if name == "on" || self.name()? != "on" {
            return Err(UNEXPECTED);
        }
        let _type = self.name()?;
        self.directives()?;
        let selections = self.selections()?;
        if document.fragments.insert(name, selections).is_some() {
            return Err("it has two fragments of one name");
        }
        Ok(())
    }

    fn variables(&mut self) -> Result<HashMap<&'d str, Option<Given<'d>>>, &'static str> {
        let mut variables = HashMap::new();
        if !self.take('(') {
            return Ok(variables);
        }
        while !self.take(')') {
            self.expect('$')?;
            let name = self.name()?;
            self.expect(':')?;
            self.type_name()?;
            let usual = if self.take('=') {
                Some(self.value()?)
            } else {
                None
            };
            if usual.as_ref().is_some_and(|usual| !usual.is_constant()) {
                return Err("what a variable usually is depends on another");
            }
            self.directives()?;
            if variables.insert(name, usual).is_some() {
                return Err("it declares a variable twice");
            }
        }
        Ok(variables)
    }

    fn type_name(&mut self) -> Result<(), &'static str> {
        let mut lists = 0_usize;
        while self.take('[') {
            lists += 1;
        }
        let _name = self.name()?;
        self.take('!');
        for _ in 0..lists {
            self.expect(']')?;
            self.take('!');
        }
        Ok(())
    }

    fn directives(&mut self) -> Result<(), &'static str> {
        while self.take('@') {
            let _name = self.name()?;
            let _arguments = self.arguments()?;
        }
        Ok(())
    }

    fn selections(&mut self) -> Result<Vec<Selection<'d>>, &'static str> {
        self.expect('{')?;
        self.deeper()?;
        let mut selections = Vec::new();
        while !self.take('}') {
            selections.push(self.selection()?);
        }
        self.depth -= 1;
        if selections.is_empty() {
            return Err(UNEXPECTED);
        }
        Ok(selections)
    }

    fn selection(&mut self) -> Result<Selection<'d>, &'static str> {
        if self.take('.') {
            if let Some(Token::Name(name)) = self.tokens.peek()
                && *name != "on"
            {
                let name = self.name()?;
                self.directives()?;
                return Ok(Selection::Spread(name));
            }
            if matches!(self.tokens.peek(), Some(Token::Name(_))) {
                let (_on, _type) = (self.name()?, self.name()?);
            }
            self.directives()?;
            return Ok(Selection::Inline(self.selections()?));
        }
        let mut name = self.name()?;
        if self.take(':') {
            name = self.name()?;
        }
        let arguments = self.arguments()?;
        self.directives()?;
        if self.is_next('{') {
            let _within = self.selections()?;
        }
        Ok(Selection::Field { name, arguments })
    }

    fn arguments(&mut self) -> Result<Vec<(&'d str, Given<'d>)>, &'static str> {
        let mut arguments = Vec::new();
        if self.take('(') {
            self.pairs(')', &mut arguments)?;
            if arguments.is_empty() {
                return Err(UNEXPECTED);
            }
        }
        Ok(arguments)
    }

    /// Names and values up to `end`. Of two of one name, some servers take the first and some the last.
    fn pairs(
        &mut self,
        end: char,
        pairs: &mut Vec<(&'d str, Given<'d>)>,
    ) -> Result<(), &'static str> {
        let mut names = HashSet::new();
        while !self.take(end) {
            let name = self.name()?;
            self.expect(':')?;
            if !names.insert(name) {
                return Err("it gives an argument twice");
            }
            pairs.push((name, self.value()?));
        }
        Ok(())
    }

    fn value(&mut self) -> Result<Given<'d>, &'static str> {
        self.deeper()?;
        let value = match self.tokens.next().ok_or(UNEXPECTED)? {
            Token::Mark('$') => Given::Variable(self.name()?),
            Token::Mark('[') => {
                let mut list = Vec::new();
                while !self.take(']') {
                    list.push(self.value()?);
                }
                Given::List(list)
            }
            Token::Mark('{') => {
                let mut object = Vec::new();
                self.pairs('}', &mut object)?;
                Given::Object(object)
            }
            Token::Mark(_) => return Err(UNEXPECTED),
            Token::Name("true") => Given::Value(Value::Bool(true)),
            Token::Name("false") => Given::Value(Value::Bool(false)),
            Token::Name("null") => Given::Value(Value::Null),
            Token::Name(word) => Given::Value(Value::String(word.to_owned())),
            Token::Number(number) => {
                Given::Value(serde_json::from_str(number).map_err(|_| UNEXPECTED)?)
            }
            Token::Text(text) => Given::Value(Value::String(text)),
        };
        self.depth -= 1;
        Ok(value)
    }

    fn deeper(&mut self) -> Result<(), &'static str> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is too deep");
        }
        Ok(())
    }

    fn name(&mut self) -> Result<&'d str, &'static str> {
        match self.tokens.next() {
            Some(Token::Name(name)) => Ok(name),
            Some(_) | None => Err(UNEXPECTED),
        }
    }

    fn is_next(&mut self, mark: char) -> bool {
        self.tokens.peek() == Some(&Token::Mark(mark))
    }

    fn take(&mut self, mark: char) -> bool {
        self.tokens.next_if_eq(&Token::Mark(mark)).is_some()
    }

    fn expect(&mut self, mark: char) -> Result<(), &'static str> {
        if self.take(mark) {
            Ok(())
        } else {
            Err(UNEXPECTED)
        }
    }
}

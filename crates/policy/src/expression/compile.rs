//! From text to a tree in which every name is resolved.

use std::ops::Range;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use regex::Regex;

use super::functions::Function;
use super::{Fault, LONGEST, Scope, Unknown, Variable};

/// Deepest nesting, so that neither compiling nor evaluating can exhaust the stack.
const DEEPEST: usize = 64;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Variable(Variable),
    /// A name bound by `all`, `exists`, `map` and their like, by its place on the stack.
    Local(usize),
    Select(Box<Node>, String),
    Has(Box<Node>, String),
    Index(Box<[Node; 2]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Conditional(Box<[Node; 3]>),
    Binary(Operator, Box<[Node; 2]>),
    Matches(Box<Node>, Regex),
    Call(Function, Vec<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    NotStrictlyFalse(Box<Node>),
    Loop(Box<Loop>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What `all`, `exists`, `exists_one`, `map` and `filter` come to. The accumulator is the first of its locals, the item the next.
#[derive(Clone, Debug)]
pub(super) struct Loop {
    pub(super) over: Node,
    pub(super) start: Node,
    pub(super) while_holds: Node,
    pub(super) step: Node,
    pub(super) result: Node,
}

pub(super) fn compile(text: &str, scope: Scope) -> Result<Node, Fault> {
    if text.trim().is_empty() {
        return Err(Fault { message: "the expression is empty".to_owned(), hint: example(scope), unknown: None, at: 0..0 });
    }
    if text.len() > LONGEST {
        let message = format!("the expression is longer than {LONGEST} bytes");
        return Err(Fault { message, hint: String::new(), unknown: None, at: 0..text.len() });
    }
    let places = Places::new(text);
    let parser = cel::parser::Parser::new().max_recursion_depth(DEEPEST as u16);
    let (expr, info) = parser.parse_with_source_info(text).map_err(|errors| places.syntax(&errors))?;
    let mut compiler = Compiler { scope, info: &info, places: &places, locals: Vec::new(), depth: 0 };
    compiler.node(&expr)
}

fn example(scope: Scope) -> String {
    match scope {
        Scope::Request => "as in headers['x-user']".to_owned(),
        Scope::Answer => "as in json.cpu_usage <= 90".to_owned(),
    }
}

/// Places in the text as the parser names them.
struct Places<'a> {
    text: &'a str,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// From the byte of the first character to that of the last.
    fn range(&self, first: u32, last: u32) -> Range<usize> {
        let start = (first as usize).min(self.text.len());
        let end = (last as usize + 1..).find(|end| *end >= self.text.len() || self.text.is_char_boundary(*end));
        let start = (0..=start).rev().find(|start| self.text.is_char_boundary(*start)).unwrap_or(0);
        start..end.unwrap_or(start).clamp(start, self.text.len())
    }

    /// The first thing the parser did not like. What it would have liked is a list of all its tokens, which helps nobody.
    fn syntax(&self, errors: &cel::ParseErrors) -> Fault {
        let Some(first) = errors.errors.iter().min_by_key(|error| error.pos) else {
            return Fault {
                message: "this is no expression".to_owned(),
                hint: String::new(),
                unknown: None,
                at: 0..self.text.len(),
            };
        };
        let line = usize::try_from(first.pos.0 - 1).unwrap_or(0);
        let column = usize::try_from(first.pos.1 - 1).unwrap_or(0);
        let before: usize = self.text.split_inclusive('\n').take(line).map(str::len).sum();
        let start = self.text[before..].char_indices().nth(column).map_or(self.text.len(), |(at, _)| before + at);
        let end = self.text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
        let message = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
        let message = message.split(" expecting ").next().unwrap_or(message).replace("'<EOF>'", "the end");
        let (message, hint) = match message.as_str() {
            _ if self.text[start..].starts_with('=') && !self.text[start..].starts_with("==") => {
                ("a single `=` compares nothing".to_owned(), "equality is `==`")
            }
            _ if message.contains("the end") => ("the expression ends too early".to_owned(), ""),
            _ => (format!("this is no expression: {message}"), ""),
        };
        Fault { message, hint: hint.to_owned(), unknown: None, at: start..end }
    }
}

struct Compiler<'a> {
    scope: Scope,
    info: &'a SourceInfo,
    places: &'a Places<'a>,
    locals: Vec<String>,
    depth: usize,
}

impl Compiler<'_> {
    fn node(&mut self, expr: &IdedExpr) -> Result<Node, Fault> {
        if self.depth >= DEEPEST {
            return Err(self.fault(expr, "the expression is nested too deeply", ""));
        }
        self.depth += 1;
        let node = self.any(expr);
        self.depth -= 1;
        node
    }

    fn boxed(&mut self, expr: &IdedExpr) -> Result<Box<Node>, Fault> {
        self.node(expr).map(Box::new)
    }

    fn nodes(&mut self, exprs: &[IdedExpr]) -> Result<Vec<Node>, Fault> {
        exprs.iter().map(|expr| self.node(expr)).collect()
    }

    fn any(&mut self, expr: &IdedExpr) -> Result<Node, Fault> {
        match &expr.expr {
            Expr::Literal(literal) => self.literal(expr, literal),
            Expr::Ident(name) => self.name(expr, name),
            Expr::Select(select) if select.test => Ok(Node::Has(self.boxed(&select.operand)?, select.field.clone())),
            Expr::Select(select) => Ok(Node::Select(self.boxed(&select.operand)?, select.field.clone())),
            Expr::List(list) => Ok(Node::List(self.nodes(&list.elements)?)),
            Expr::Map(map) => {
                let mut entries = Vec::new();
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return Err(self.fault(expr, "messages are not part of this language", ""));
                    };
                    entries.push((self.node(&entry.key)?, self.node(&entry.value)?));
                }
                Ok(Node::Map(entries))
            }
            Expr::Call(call) => self.call(expr, call),
            Expr::Comprehension(comprehension) => self.comprehension(expr, comprehension),
            Expr::Struct(_) | Expr::Unspecified => Err(self.fault(expr, "messages are not part of this language", "")),
        }
    }

    fn literal(&self, expr: &IdedExpr, literal: &LiteralValue) -> Result<Node, Fault> {
        match literal {
            LiteralValue::Boolean(flag) => Ok(Node::Bool(*flag.inner())),
            LiteralValue::Double(number) => Ok(Node::Double(*number.inner())),
            LiteralValue::Int(number) => Ok(Node::Int(*number.inner())),
            LiteralValue::Null => Ok(Node::Null),
            LiteralValue::String(text) => Ok(Node::Text(text.inner().to_owned())),
            LiteralValue::UInt(number) => match i64::try_from(*number.inner()) {
                Ok(number) => Ok(Node::Int(number)),
                Err(_) => Err(self.fault(expr, "this number is too large", "")),
            },
            LiteralValue::Bytes(_) => Err(self.fault(expr, "bytes are not part of this language", "write a text, without `b`")),
        }
    }

    fn name(&self, expr: &IdedExpr, name: &str) -> Result<Node, Fault> {
        if let Some(local) = self.locals.iter().rposition(|local| local == name) {
            return Ok(Node::Local(local));
        }
        let variables = self.scope.variables();
        if let Some((_, variable)) = variables.iter().find(|(known, _)| *known == name) {
            return Ok(Node::Variable(*variable));
        }
        let fault = self.fault(expr, format!("there is no variable `{}`", name.escape_debug()), "");
        Err(unknown(fault, name, variables.iter().map(|(known, _)| *known)))
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Node, Fault> {
        let binary = [
            (operators::EQUALS, Operator::Equal),
            (operators::NOT_EQUALS, Operator::Unequal),
            (operators::LESS, Operator::Less),
            (operators::LESS_EQUALS, Operator::AtMost),
            (operators::GREATER, Operator::Greater),
            (operators::GREATER_EQUALS, Operator::AtLeast),
            (operators::IN, Operator::In),
            (operators::ADD, Operator::Add),
            (operators::SUBSTRACT, Operator::Subtract),
            (operators::MULTIPLY, Operator::Multiply),
            (operators::DIVIDE, Operator::Divide),
            (operators::MODULO, Operator::Remainder),
        ];
        let name = call.func_name.as_str();
        let operator = binary.into_iter().find(|(known, _)| *known == name);
        match (name, &call.args[..]) {
            (operators::LOGICAL_NOT, [a]) => Ok(Node::Not(self.boxed(a)?)),
            (operators::NEGATE, [a]) => Ok(Node::Negate(self.boxed(a)?)),
            (operators::NOT_STRICTLY_FALSE, [a]) => Ok(Node::NotStrictlyFalse(self.boxed(a)?)),
            (operators::LOGICAL_AND, [a, b]) => Ok(Node::And(Box::new([self.node(a)?, self.node(b)?]))),
            (operators::LOGICAL_OR, [a, b]) => Ok(Node::Or(Box::new([self.node(a)?, self.node(b)?]))),
            (operators::INDEX, [a, b]) => Ok(Node::Index(Box::new([self.node(a)?, self.node(b)?]))),
            (operators::CONDITIONAL, [a, b, c]) => Ok(Node::Conditional(Box::new([self.node(a)?, self.node(b)?, self.node(c)?]))),
            (_, [a, b]) if operator.is_some() => {
                let sides = Box::new([self.node(a)?, self.node(b)?]);
                Ok(operator.map_or(Node::Null, |(_, operator)| Node::Binary(operator, sides)))
            }
            _ => self.function(expr, call),
        }
    }

    fn function(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Node, Fault> {
        let name = call.func_name.as_str();
        let mut args = Vec::new();
        for arg in call.target.iter().map(|target| &**target).chain(&call.args) {
            args.push(self.node(arg)?);
        }
        if name == "matches" {
            return self.matches(expr, call, args);
        }
        let Some(function) = Function::named(name) else {
            let fault = self.misnamed(expr, name, format!("there is no function `{}`", name.escape_debug()), "");
            let macros = ["matches", "has", "all", "exists", "exists_one", "map", "filter"];
            return Err(unknown(fault, name, Function::names().chain(macros)));
        };
        if !function.takes().contains(&args.len()) {
            let message = format!("`{name}` is called with the wrong number of arguments");
            return Err(self.misnamed(expr, name, message, function.example()));
        }
        Ok(Node::Call(function, args))
    }

    /// The pattern must be written out: it is compiled here and never again.
    fn matches(&self, expr: &IdedExpr, call: &CallExpr, args: Vec<Node>) -> Result<Node, Fault> {
        let mut args = args.into_iter();
        let (Some(text), Some(Node::Text(pattern)), None) = (args.next(), args.next(), args.next()) else {
            return Err(self.fault(expr, "`matches` takes a pattern that is written out", "as in path.matches('^/v[0-9]+/')"));
        };
        let pattern = regex::RegexBuilder::new(&pattern).size_limit(1 << 20).build().map_err(|error| {
            let why = error.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            self.fault(call.args.last().unwrap_or(expr), format!("this pattern is no regular expression: {why}"), "")
        })?;
        Ok(Node::Matches(Box::new(text), pattern))
    }

    fn comprehension(&mut self, expr: &IdedExpr, it: &ComprehensionExpr) -> Result<Node, Fault> {
        if it.iter_var2.is_some() {
            return Err(self.fault(expr, "loops over two names are not part of this language", ""));
        }
        let over = self.node(&it.iter_range)?;
        let start = self.node(&it.accu_init)?;
        self.locals.extend([it.accu_var.clone(), it.iter_var.clone()]);
        let inner = (|| Ok((self.node(&it.loop_cond)?, self.node(&it.loop_step)?, self.node(&it.result)?)))();
        self.locals.truncate(self.locals.len() - 2);
        let (while_holds, step, result) = inner?;
        Ok(Node::Loop(Box::new(Loop { over, start, while_holds, step, result })))
    }

    fn fault(&self, expr: &IdedExpr, message: impl Into<String>, hint: impl Into<String>) -> Fault {
        let at = self.info.offset_for(expr.id).map_or(0..self.places.text.len(), |(first, last)| self.places.range(first, last));
        Fault { message: message.into(), hint: hint.into(), unknown: None, at }
    }

    /// A call stands at its bracket; its name is before that.
    fn misnamed(&self, expr: &IdedExpr, name: &str, message: String, hint: &str) -> Fault {
        let mut fault = self.fault(expr, message, hint);
        let before =
            fault.at.start.checked_sub(name.len()).filter(|start| self.places.text.get(*start..fault.at.start) == Some(name));
        if let Some(start) = before {
            fault.at = start..fault.at.start;
        }
        fault
    }
}

fn unknown(fault: Fault, word: &str, known: impl Iterator<Item = &'static str>) -> Fault {
    Fault { unknown: Some(Unknown { word: word.to_owned(), known: known.collect() }), ..fault }
}

impl Node {
    pub(super) fn is_condition(&self) -> Option<bool> {
        use Operator::{Add, Divide, Multiply, Remainder, Subtract};
        match self {
            Self::Bool(_)
            | Self::Has(..)
            | Self::Not(_)
            | Self::And(_)
            | Self::Or(_)
            | Self::Matches(..)
            | Self::NotStrictlyFalse(_) => Some(true),
            Self::Binary(Add | Subtract | Multiply | Divide | Remainder, _) => Some(false),
            Self::Binary(..) => Some(true),
            Self::Call(function, _) => Some(function.is_condition()),
            Self::Conditional(parts) => match (parts[1].is_condition(), parts[2].is_condition()) {
                (Some(a), Some(b)) if a == b => Some(a),
                _ => None,
            },
            Self::Variable(Variable::Json) | Self::Local(_) | Self::Select(..) | Self::Index(_) | Self::Loop(_) => None,
            _ => Some(false),
        }
    }

    fn children(&self) -> Vec<&Self> {
        match self {
            Self::Select(a, _)
            | Self::Has(a, _)
            | Self::Not(a)
            | Self::Negate(a)
            | Self::Matches(a, _)
            | Self::NotStrictlyFalse(a) => {
                vec![a]
            }
            Self::Index(sides) | Self::And(sides) | Self::Or(sides) | Self::Binary(_, sides) => sides.iter().collect(),
            Self::Conditional(parts) => parts.iter().collect(),
            Self::Call(_, nodes) | Self::List(nodes) => nodes.iter().collect(),
            Self::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            Self::Loop(it) => vec![&it.over, &it.start, &it.while_holds, &it.step, &it.result],
            _ => Vec::new(),
        }
    }

    pub(super) fn visit<'n>(&'n self, see: &mut dyn FnMut(&'n Self)) {
        see(self);
        self.children().into_iter().for_each(|child| child.visit(see));
    }

    /// Every variable with the fixed names that follow it, as written by a person, from left to right.
    pub(super) fn paths<'n>(&'n self, see: &mut dyn FnMut(String, &'n Self)) {
        match self.path() {
            Some(path) => see(path, self),
            None => self.children().into_iter().for_each(|child| child.paths(see)),
        }
    }

    fn path(&self) -> Option<String> {
        match self {
            Self::Variable(variable) => {
                let mut known = Scope::Request.variables().iter().chain(Scope::Answer.variables());
                known.find(|(_, known)| known == variable).map(|(name, _)| (*name).to_owned())
            }
            Self::Select(of, name) => Some(format!("{}.{name}", of.path()?)),
            Self::Index(sides) => match &sides[1] {
                Self::Text(name) => Some(format!("{}['{name}']", sides[0].path()?)),
                Self::Int(at) => Some(format!("{}[{at}]", sides[0].path()?)),
                _ => None,
            },
            _ => None,
        }
    }
}

//! Reads a condition by recursive descent, and after a fault goes on behind the next `&&`, `||` or parenthesis.

use super::lexer::{Token, tokens};
use super::{ConditionFault, MAX_DEPTH, Node, Operator};
use crate::ids::NameError;
use crate::notes::Located;
use crate::source::{Place, Span};

pub(super) fn parse(place: &Place) -> Result<Node, Vec<Located<ConditionFault>>> {
    let mut faults = Vec::new();
    let tokens = tokens(place, &mut faults);
    let mut parser = Parser { place, tokens: &tokens, faults };
    let root = parser.any(0);
    while !parser.tokens.is_empty() {
        // Only a `)` without its `(` ends a condition early. What comes behind it is read for its faults.
        parser.expected("`&&`, `||` or the end");
        parser.take();
        parser.skip_operand();
        if parser.take_if(Token::And) || parser.take_if(Token::Or) {
            parser.any(0);
        }
    }
    let mut faults = parser.faults;
    match root {
        Some(root) if faults.is_empty() => Ok(root),
        _ => {
            faults.sort_by_key(|it| it.place.as_ref().map(|place| place.span.start));
            Err(faults)
        }
    }
}

struct Parser<'a> {
    place: &'a Place,
    /// Those not yet read.
    tokens: &'a [(Span, Token<'a>)],
    faults: Vec<Located<ConditionFault>>,
}

/// A node, or nothing where a fault has been told.
type Read = Option<Node>;

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.first().map(|(_, token)| *token)
    }

    fn take(&mut self) -> Option<(Span, Token<'a>)> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    fn take_if(&mut self, expected: Token<'_>) -> bool {
        let comes = self.peek() == Some(expected);
        if comes {
            self.take();
        }
        comes
    }

    fn fault(&mut self, span: Span, fault: ConditionFault) {
        self.faults.push(Located::at(self.place.inner(span), fault));
    }

    /// Tells what should come next, at what does, or at the end.
    fn expected(&mut self, expected: &'static str) {
        let end = self.place.text().len();
        let span = self.tokens.first().map_or(end..end, |(span, _)| span.clone());
        self.fault(span, ConditionFault::Syntax { expected });
    }

    /// `a || b || c`
    fn any(&mut self, depth: usize) -> Read {
        self.row(Token::Or, Node::Any, |it| it.row(Token::And, Node::All, |it| it.operand(depth)))
    }

    fn row(
        &mut self,
        separator: Token<'_>,
        node: fn(Vec<Node>) -> Node,
        part: impl Fn(&mut Self) -> Read,
    ) -> Read {
        let mut nodes = vec![part(self)];
        while self.take_if(separator) {
            nodes.push(part(self));
        }
        let mut nodes: Vec<Node> = nodes.into_iter().collect::<Option<_>>()?;
        if nodes.len() == 1 { nodes.pop() } else { Some(node(nodes)) }
    }

    /// One comparison, constant, negation or parenthesis; then nothing but what may follow it.
    fn operand(&mut self, depth: usize) -> Read {
        let before = self.faults.len();
        let node = self.primary(depth);
        if self.faults.len() == before
            && !matches!(self.peek(), None | Some(Token::And | Token::Or | Token::Close))
        {
            self.expected("`&&`, `||` or the end");
        }
        self.skip_operand();
        node.filter(|_| self.faults.len() == before)
    }

    /// Goes to what may follow an operand, past whole parentheses; nowhere if it is there already.
    fn skip_operand(&mut self) {
        let mut open = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Token::And | Token::Or | Token::Close if open == 0 => return,
                Token::Open => open += 1,
                Token::Close => open -= 1,
                _ => {}
            }
            self.take();
        }
    }

    fn primary(&mut self, depth: usize) -> Read {
        if depth == MAX_DEPTH && matches!(self.peek(), Some(Token::Not | Token::Open)) {
            let from = self.tokens[0].0.start;
            self.fault(from..self.place.text().len(), ConditionFault::TooDeep);
            // What is left makes no sense without what was too deep.
            self.tokens = &[];
            return None;
        }
        match self.peek() {
            Some(Token::Not) => {
                self.take();
                self.primary(depth + 1).map(|it| Node::Not(Box::new(it)))
            }
            Some(Token::Open) => {
                self.take();
                let inner = self.any(depth + 1);
                if !self.take_if(Token::Close) {
                    if !self.tokens.is_empty() || inner.is_some() {
                        self.expected("`)`");
                    }
                    return None;
                }
                inner
            }
            Some(Token::Word("true")) => self.take().map(|_| Node::Constant(true)),
            Some(Token::Word("false")) => self.take().map(|_| Node::Constant(false)),
            Some(Token::Word(_)) => self.comparison(),
            _ => {
                self.expected("a comparison such as `components.redis == 'local'`");
                None
            }
        }
    }

    fn comparison(&mut self) -> Read {
        let (span, Token::Word(word)) = self.take()? else { return None };
        let Some(component) = word.strip_prefix("components.") else {
            self.fault(span, ConditionFault::Syntax { expected: "`components.NAME`" });
            return None;
        };
        let component_span = span.start + "components.".len()..span.end;
        let component = self.name(component_span, component, "component");

        let operator = match self.peek() {
            Some(Token::Is) => Operator::Is,
            Some(Token::IsNot) => Operator::IsNot,
            Some(Token::Word("includes")) => Operator::Includes,
            _ => {
                // Where the name is none, what follows may belong to it: `components.a.includes('b')`.
                if component.is_some() {
                    self.expected("`==`, `!=` or `includes`");
                }
                return None;
            }
        };
        self.take();
        let Some(Token::Text(text)) = self.peek() else {
            self.expected("a section's name in quotes");
            return None;
        };
        let (text_span, _) = self.take()?;
        let section = self.name(text_span, text, "section");
        Some(Node::Compare {
            component: component?,
            place: self.place.inner(span),
            operator,
            section: section?,
        })
    }

    fn name<N: std::str::FromStr<Err = NameError>>(
        &mut self,
        span: Span,
        text: &str,
        kind: &'static str,
    ) -> Option<N> {
        match text.parse() {
            Ok(name) => Some(name),
            Err(cause) => {
                // With its quotes, so that an empty text can be seen.
                let found = self.place.source.quote(&self.place.text()[span.clone()]);
                self.fault(span, ConditionFault::BadName { found, kind, cause });
                None
            }
        }
    }
}

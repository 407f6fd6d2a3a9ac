//! Where a source file can be altered, and how: the mutants of the file.

use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Lit, ReturnType, Stmt, Type, UnOp};

/// One altered program.
#[derive(Clone, Debug)]
pub(crate) struct Mutant {
    /// Its number, unique over all files; 0 is the program as it is.
    pub(crate) id: u32,
    /// The line in the file.
    pub(crate) line: usize,
    /// The function around it.
    pub(crate) function: String,
    /// What is altered.
    pub(crate) what: String,
}

/// A place with its alternatives. Ranges count bytes of the file.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// What the alternatives are written into.
    pub(crate) form: Form,
    /// Numbers of the mutants with what each puts there.
    pub(crate) choices: Vec<(u32, String)>,
}

/// How alternatives are woven into the text.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// The function returns a value at once, from this byte on.
    Body(usize),
    /// The keyword `const` of a function, which could not ask which mutant runs.
    Const(Range<usize>),
    /// An operator that takes its operands by value, or by reference when the flag is set.
    Infix {
        left: Range<usize>,
        right: Range<usize>,
        operator: &'static str,
        by_reference: bool,
    },
    /// An assignment with an operator.
    Assignment {
        left: Range<usize>,
        right: Range<usize>,
        operator: &'static str,
    },
    /// `&&`, or `||` when the flag is set.
    Lazy {
        left: Range<usize>,
        right: Range<usize>,
        is_or: bool,
    },
    /// `!` or `-` in front of an operand.
    Prefix {
        whole: Range<usize>,
        operand: Range<usize>,
        operator: &'static str,
    },
    /// A condition that becomes a constant.
    Condition(Range<usize>),
    /// A match arm without guard that is never taken, from the byte behind its pattern on.
    Arm(usize),
    /// A statement that is left out.
    Statement(Range<usize>),
    /// A number.
    Literal(Range<usize>),
}

/// The sites of a file, outer ones before those inside them.
pub(crate) struct Sites {
    pub(crate) sites: Vec<Site>,
    pub(crate) mutants: Vec<Mutant>,
    functions: Vec<String>,
    next: u32,
}

impl Sites {
    /// Finds the sites of a file; numbers start at `first`.
    pub(crate) fn of(file: &syn::File, first: u32) -> Self {
        let mut sites = Self {
            sites: Vec::new(),
            mutants: Vec::new(),
            functions: Vec::new(),
            next: first,
        };
        sites.visit_file(file);
        sites
    }

    fn push(&mut self, form: Form, span: Span, choices: &[(String, String)]) {
        let mut numbered = Vec::new();
        for (code, what) in choices {
            let id = self.next;
            self.next = self.next.saturating_add(1);
            self.mutants.push(Mutant {
                id,
                line: span.start().line,
                function: self.functions.last().cloned().unwrap_or_default(),
                what: what.clone(),
            });
            numbered.push((id, code.clone()));
        }
        self.sites.push(Site {
            form,
            choices: numbered,
        });
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block, visit: impl FnOnce(&mut Self)) {
        self.functions.push(signature.ident.to_string());
        if let Some(keyword) = &signature.constness {
            self.push(Form::Const(range(keyword.span)), keyword.span, &[]);
        }
        let values = match &signature.output {
            ReturnType::Default => vec!["()".to_owned()],
            ReturnType::Type(_, kind) => values(kind),
        };
        let choices: Vec<_> = values
            .into_iter()
            .map(|value| {
                let what = format!(
                    "returns `{}`",
                    value.replace(
                        "<crate::field::Extension as p3_field::PrimeCharacteristicRing>",
                        "Extension"
                    )
                );
                (value, what)
            })
            .collect();
        if !block.stmts.is_empty() {
            let at = range(block.brace_token.span.open()).end;
            self.push(Form::Body(at), signature.ident.span(), &choices);
        }
        visit(self);
        self.functions.pop();
    }

    fn condition(&mut self, condition: &Expr, is_loop: bool) {
        if has_let(condition) {
            return;
        }
        let mut choices = vec![("false".to_owned(), "condition is false".to_owned())];
        if !is_loop {
            choices.push(("true".to_owned(), "condition is true".to_owned()));
        }
        self.push(
            Form::Condition(range(condition.span())),
            condition.span(),
            &choices,
        );
    }
}

impl<'ast> Visit<'ast> for Sites {
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_variant(&mut self, _: &'ast syn::Variant) {}

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !module
            .attrs
            .iter()
            .any(|attribute| attribute.path().is_ident("cfg"))
        {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block, |sites| {
            visit::visit_block(sites, &item.block)
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block, |sites| {
            visit::visit_block(sites, &item.block)
        });
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }

    fn visit_expr_if(&mut self, choice: &'ast syn::ExprIf) {
        self.condition(&choice.cond, false);
        visit::visit_expr_if(self, choice);
    }

    fn visit_expr_while(&mut self, repeated: &'ast syn::ExprWhile) {
        self.condition(&repeated.cond, true);
        visit::visit_expr_while(self, repeated);
    }

    fn visit_expr_match(&mut self, choice: &'ast syn::ExprMatch) {
        let falls = choice
            .arms
            .iter()
            .any(|arm| matches!(arm.pat, syn::Pat::Wild(_)) && arm.guard.is_none());
        self.visit_expr(&choice.expr);
        for arm in &choice.arms {
            match &arm.guard {
                Some((_, guard)) => {
                    self.condition(guard, false);
                    self.visit_expr(guard);
                }
                None if falls && !matches!(arm.pat, syn::Pat::Wild(_)) => {
                    let at = range(arm.pat.span()).end;
                    let choices = [("false".to_owned(), "match arm is left out".to_owned())];
                    self.push(Form::Arm(at), arm.pat.span(), &choices);
                }
                None => {}
            }
            self.visit_expr(&arm.body);
        }
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        if let Stmt::Expr(expression, Some(_)) = statement
            && matches!(expression, Expr::Call(_) | Expr::MethodCall(_) | Expr::Try(_))
        {
            let choices = [(String::new(), "statement is left out".to_owned())];
            self.push(
                Form::Statement(range(statement.span())),
                statement.span(),
                &choices,
            );
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let (left, right) = (range(binary.left.span()), range(binary.right.span()));
        let Some((operator, others)) = operators(&binary.op) else {
            return visit::visit_expr_binary(self, binary);
        };
        let choices: Vec<_> = others
            .iter()
            .map(|other| ((*other).to_owned(), format!("`{operator}` becomes `{other}`")))
            .collect();
        let span = binary.op.span();
        match operator {
            "&&" | "||" => {
                let is_or = operator == "||";
                if !has_let(&binary.left) && !has_let(&binary.right) {
                    self.push(Form::Lazy { left, right, is_or }, span, &choices);
                }
            }
            _ if operator.ends_with('=') && !matches!(operator, "==" | "!=" | "<=" | ">=") => {
                self.push(
                    Form::Assignment {
                        left,
                        right,
                        operator,
                    },
                    span,
                    &choices,
                );
                // The place on the left is written several times.
                return self.visit_expr(&binary.right);
            }
            _ => {
                let by_reference = matches!(operator, "==" | "!=" | "<" | "<=" | ">" | ">=");
                self.push(
                    Form::Infix {
                        left,
                        right,
                        operator,
                        by_reference,
                    },
                    span,
                    &choices,
                );
            }
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        let operator = match unary.op {
            UnOp::Not(_) => "!",
            UnOp::Neg(_) => "-",
            _ => return visit::visit_expr_unary(self, unary),
        };
        let form = Form::Prefix {
            whole: range(unary.span()),
            operand: range(unary.expr.span()),
            operator,
        };
        let choices = [(String::new(), format!("`{operator}` is left out"))];
        self.push(form, unary.span(), &choices);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_lit(&mut self, literal: &'ast syn::ExprLit) {
        let one = match &literal.lit {
            Lit::Int(_) => "1",
            Lit::Float(_) => "1.0",
            _ => return,
        };
        let choices = [(one.to_owned(), format!("number is {one} more"))];
        self.push(Form::Literal(range(literal.span())), literal.span(), &choices);
    }
}

/// The bytes of a span in its file.
fn range(span: Span) -> Range<usize> {
    span.byte_range()
}

fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        Expr::Paren(inner) => has_let(&inner.expr),
        _ => false,
    }
}

/// An operator with those that take its place.
fn operators(operator: &BinOp) -> Option<(&'static str, &'static [&'static str])> {
    Some(match operator {
        BinOp::Add(_) => ("+", &["-", "*"]),
        BinOp::Sub(_) => ("-", &["+", "*"]),
        BinOp::Mul(_) => ("*", &["+", "-"]),
        BinOp::Div(_) => ("/", &["*", "%"]),
        BinOp::Rem(_) => ("%", &["/", "+"]),
        BinOp::Shl(_) => ("<<", &[">>"]),
        BinOp::Shr(_) => (">>", &["<<"]),
        BinOp::BitAnd(_) => ("&", &["|", "^"]),
        BinOp::BitOr(_) => ("|", &["&", "^"]),
        BinOp::BitXor(_) => ("^", &["&", "|"]),
        BinOp::And(_) => ("&&", &["||"]),
        BinOp::Or(_) => ("||", &["&&"]),
        BinOp::Eq(_) => ("==", &["!="]),
        BinOp::Ne(_) => ("!=", &["=="]),
        BinOp::Lt(_) => ("<", &["<=", ">"]),
        BinOp::Le(_) => ("<=", &["<", ">"]),
        BinOp::Gt(_) => (">", &[">=", "<"]),
        BinOp::Ge(_) => (">=", &[">", "<"]),
        BinOp::AddAssign(_) => ("+=", &["-=", "*="]),
        BinOp::SubAssign(_) => ("-=", &["+=", "*="]),
        BinOp::MulAssign(_) => ("*=", &["+=", "-="]),
        BinOp::BitXorAssign(_) => ("^=", &["|=", "&="]),
        BinOp::BitOrAssign(_) => ("|=", &["&=", "^="]),
        _ => return None,
    })
}

/// A few values of a type, as expressions.
fn values(kind: &Type) -> Vec<String> {
    match kind {
        Type::Path(path) => path.path.segments.last().map(values_of).unwrap_or_default(),
        Type::Tuple(tuple) if tuple.elems.is_empty() => vec!["()".to_owned()],
        Type::Tuple(tuple) => {
            let first: Option<Vec<_>> = tuple
                .elems
                .iter()
                .map(|kind| values(kind).into_iter().next())
                .collect();
            first
                .map(|values| format!("({})", values.join(", ")))
                .into_iter()
                .collect()
        }
        Type::Reference(reference) if matches!(*reference.elem, Type::Slice(_)) => vec!["&[]".to_owned()],
        _ => Vec::new(),
    }
}

fn values_of(segment: &syn::PathSegment) -> Vec<String> {
    let inner = || match &segment.arguments {
        syn::PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
            Some(syn::GenericArgument::Type(kind)) => values(kind),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let wrapped = |name: &str| {
        inner()
            .iter()
            .map(|value| format!("{name}({value})"))
            .collect::<Vec<_>>()
    };
    match segment.ident.to_string().as_str() {
        "bool" => owned(&["true", "false"]),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" | "i8" | "i16" | "i32" | "i64" | "i128" => {
            owned(&["0", "1"])
        }
        "f64" => owned(&["0.0", "1000.0"]),
        "Option" => [vec!["None".to_owned()], wrapped("Some")].concat(),
        "Result" => wrapped("Ok"),
        "Vec" => {
            let one = inner().into_iter().map(|value| format!("vec![{value}]"));
            core::iter::once("Vec::new()".to_owned()).chain(one).collect()
        }
        "Extension" => ["ZERO", "ONE"]
            .map(|name| format!("<crate::field::Extension as p3_field::PrimeCharacteristicRing>::{name}"))
            .to_vec(),
        "Gas" => owned(&["Gas(0)"]),
        "String" => owned(&["String::new()"]),
        _ => owned(&["Default::default()"]),
    }
}

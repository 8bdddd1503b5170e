"""The forms that people fill in; each carries a token against forged ones."""

from __future__ import annotations

from flask_wtf import FlaskForm
from sqlalchemy import select
from wtforms import Field, IntegerField, PasswordField, SelectField, StringField
from wtforms.validators import InputRequired, Length, NumberRange, ValidationError

from hpcfl.dashboard.accounts import LOGIN, LONGEST, complain
from hpcfl.dashboard.database import User, db

__all__ = ["Begin", "Login", "Name", "NewPassword", "PasswordChange", "Register"]

LONGEST_NAME = 80
MOST_RANKS = 64


def strip(text: str | None) -> str:
    return (text or "").strip()


class Login(FlaskForm):
    """Who comes in."""

    login = StringField("Login name", [InputRequired(), Length(max=64)], filters=[strip])
    password = PasswordField("Password", [InputRequired(), Length(max=LONGEST)])


class NewPassword(FlaskForm):
    """A password, twice."""

    password = PasswordField("Password", [InputRequired()], description="Ten characters or more.")
    again = PasswordField("The same again", [InputRequired()])
    owner = ""
    """The login name that must not be in it."""

    def validate_password(self, field: Field) -> None:
        """It is hard to guess."""
        login = self.login.data if hasattr(self, "login") else self.owner
        if wrong := complain(login or "", field.data):
            raise ValidationError(wrong)

    def validate_again(self, field: Field) -> None:
        """It was not mistyped."""
        if field.data != self.password.data:
            raise ValidationError("The two passwords differ.")


class Register(NewPassword):
    """A new account."""

    login = StringField("Login name", [InputRequired()], filters=[strip], description="Small letters, digits and . _ -")
    name = StringField("Your name", [Length(max=LONGEST_NAME)], filters=[strip], description="What others see.")
    order = ("login", "name", "password", "again")

    def validate_login(self, field: Field) -> None:
        """It is well-formed, and nobody has it."""
        if not LOGIN.fullmatch(field.data):
            raise ValidationError("2 to 32 small letters, digits and . _ - of which the first is a letter or digit.")
        if db.session.scalar(select(User.id).where(User.login == field.data)):
            raise ValidationError("Somebody has this login name.")


class PasswordChange(NewPassword):
    """A new password, by somebody who knows the old one."""

    old = PasswordField("Present password", [InputRequired(), Length(max=LONGEST)])
    password = PasswordField("New password", [InputRequired()], description="Ten characters or more.")
    order = ("old", "password", "again")


class Name(FlaskForm):
    """What others see."""

    name = StringField("Name", [InputRequired(), Length(max=LONGEST_NAME)], filters=[strip])


class Begin(FlaskForm):
    """How a scheme is to run."""

    seed = IntegerField("Seed", [InputRequired(), NumberRange(0, 2**31 - 1)], default=0)
    ranks = IntegerField("Ranks", [InputRequired(), NumberRange(1, MOST_RANKS)], default=1)
    place = SelectField("Where")

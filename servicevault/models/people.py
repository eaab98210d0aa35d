"""Accounts, and the people: agents and customer users are rows of one table."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Trim

from servicevault.wording import say

from .base import TimestampedModel, is_object, text


class AccountType(models.TextChoices):
    CUSTOMER = "customer", say("Customer")
    PROSPECT = "prospect", say("Prospect")
    PARTNER = "partner", say("Partner")
    INTERNAL = "internal", say("Internal")


class UserType(models.TextChoices):
    AGENT = "agent", say("Agent")
    ACCOUNT_USER = "account_user", say("Account User")


class Account(TimestampedModel):
    """An organisation whose people ask for help (E1)."""

    name = models.CharField(max_length=255)
    account_type = models.CharField(
        max_length=16, choices=AccountType.choices, default=AccountType.CUSTOMER, db_default=AccountType.CUSTOMER
    )
    domain = text()
    description = models.TextField(null=True, blank=True)
    address = models.TextField(null=True, blank=True)
    notes = models.TextField(null=True, blank=True)
    contact_person = text()
    email = text()
    phone = text()
    website = text()
    city = text()
    state = text()
    postal_code = text()
    country = text()
    tax_id = text()
    billing_address = models.TextField(null=True, blank=True)
    billing_city = text()
    billing_state = text()
    billing_postal_code = text()
    billing_country = text()
    timezone = models.CharField(max_length=64, default="UTC", db_default="UTC")
    is_active = models.BooleanField(default=True, db_default=True)
    custom_fields = models.JSONField(default=dict, db_default={}, blank=True)

    class Meta:
        db_table = "accounts"
        ordering = ["name", "id"]
        indexes = [models.Index(Lower(Trim("name")), name="accounts_name_ci")]
        constraints = [
            models.CheckConstraint(condition=Q(account_type__in=AccountType.values), name="accounts_type_known"),
            models.CheckConstraint(condition=~Q(name=""), name="accounts_name_not_empty"),
            models.CheckConstraint(condition=Q(domain=Lower("domain")), name="accounts_domain_lower"),
            is_object("custom_fields", "accounts_custom_fields_object"),
        ]

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    def create_user(self, username: str, password: str | None = None, **fields: Any) -> User:
        """A person who may log in as `username`; without a password nobody can."""
        fields.setdefault("name", username)
        user = self.model(username=username, **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, username: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(username, password, is_superuser=True, user_type=UserType.AGENT, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(username=username)


class User(AbstractBaseUser, PermissionsMixin, TimestampedModel):
    """An agent or a customer user (E2).

    The same address may belong to one agent and one customer; `username` is what people log in
    with and stays empty for imported people, whose password is unusable (E3, E38).
    """

    user_type = models.CharField(
        max_length=16, choices=UserType.choices, default=UserType.ACCOUNT_USER, db_default=UserType.ACCOUNT_USER
    )
    username = models.CharField(max_length=150, null=True, blank=True)
    name = models.CharField(max_length=255)
    email = models.EmailField(max_length=255, null=True, blank=True)
    password = models.CharField(max_length=128, default="!", db_default="!")
    account = models.ForeignKey(Account, null=True, blank=True, on_delete=models.SET_NULL, related_name="people")
    role = models.ForeignKey("permissions.Role", null=True, blank=True, on_delete=models.SET_NULL, related_name="users")
    phone = text()
    job_title = text()
    timezone = models.CharField(max_length=64, default="UTC", db_default="UTC")
    locale = models.CharField(max_length=16, default="en", db_default="en")
    is_active = models.BooleanField(default=True, db_default=True)
    is_visible = models.BooleanField(default=True, db_default=True)
    is_superuser = models.BooleanField(default=False, db_default=False)
    last_login = models.DateTimeField(null=True, blank=True, db_column="last_login_at")
    custom_fields = models.JSONField(default=dict, db_default={}, blank=True)

    objects: ClassVar[UserManager] = UserManager()
    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        db_table = "users"
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(fields=["username"], name="users_username_unique"),
            models.UniqueConstraint(
                Lower("email"), F("user_type"), condition=Q(email__isnull=False), name="users_email_per_type"
            ),
            models.CheckConstraint(condition=Q(user_type__in=UserType.values), name="users_type_known"),
            models.CheckConstraint(condition=~Q(name=""), name="users_name_not_empty"),
            models.CheckConstraint(condition=Q(email=Lower("email")) & ~Q(email=""), name="users_email_lower"),
            is_object("custom_fields", "users_custom_fields_object"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_staff(self) -> bool:
        """Whether the Django admin opens: super admins only."""
        return self.is_superuser

    @property
    def initials(self) -> str:
        return "".join(part[0] for part in self.name.split()[:2]).upper()

    @property
    def is_agent(self) -> bool:
        return self.user_type == UserType.AGENT

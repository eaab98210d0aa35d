"""Words that mean a field, in English, German, French and Spanish; without accents, words apart by a blank."""

from __future__ import annotations

from collections.abc import Mapping

_PERSON: Mapping[str, str] = {
    "name": "full name|display name|realname|real name|fullname|vollname|nom complet|nombre completo|nombre|nom",
    "first_name": "fname|given name|forename|vorname|prenom|nombre de pila|first",
    "last_name": "lname|surname|family name|nachname|familienname|nom de famille|apellido|apellidos|last",
    "email": "mail|e mail|email address|e mail address|mail address|e mail adresse|courriel|adresse email|correo|"
    "correo electronico|address email",
    "phone": "mobile|tel|telephone|phone number|mobile phone|cell|telefon|telefonnummer|handy|telephone portable|"
    "telefono|movil|phones",
    "job_title": "position|function|title|funktion|berufsbezeichnung|fonction|poste|cargo|puesto",
    "timezone": "time zone|tz|zeitzone|fuseau horaire|zona horaria",
    "is_active": "active|enabled|aktiv|actif|activo",
    "locale": "language|lang|sprache|langue|idioma",
    "company": "company name|organisation|organization|firma|unternehmen|firmenname|societe|entreprise|empresa",
    "account_external_id": "organization id|organisation id|company id|account id|firma id|client company id",
    "zip": "postal code|postcode|zip code|plz|postleitzahl|code postal|codigo postal",
    "city": "town|ort|stadt|ville|ciudad",
    "state": "province|region|bundesland",
    "country": "land|pays|pais",
    "address": "street|street address|strasse|anschrift|adresse|rue|calle|direccion",
    "notes": "note|comment|comments|remarks|notizen|bemerkung|remarques|notas",
    "role": "roles|rolle|rol|user type",
}
_TIMES: Mapping[str, str] = {
    "created_at": "created|created on|create time|creation date|date created|created date|inserted at|date added|"
    "erstellt|erstellt am|erstelldatum|angelegt am|date de creation|date creation|cree le|fecha de creacion|fecha creacion|creado",
    "updated_at": "updated|updated on|modified|modified at|modified on|change time|last modified|last update|lastupdate|"
    "date modified|geandert|geandert am|aktualisiert|date de modification|modifie le|fecha de modificacion|actualizado",
}
SYNONYMS: Mapping[str, Mapping[str, str]] = {
    "accounts": {
        **{name: _PERSON[name] for name in ("email", "phone", "timezone", "is_active", "city", "state", "country", "address", "notes")},
        **_TIMES,
        "name": "company|company name|organisation|organization|organization name|account|account name|client name|firma|"
        "firmenname|unternehmen|societe|entreprise|empresa|razon social|nom|nombre",
        "domain": "domains|mail domain|email domain|domane|domaine|dominio",
        "description": "about|details|beschreibung|descripcion",
        "website": "url|web|homepage|site|webseite|site web|sitio web",
        "contact_person": "contact|contact name|ansprechpartner|contacto",
        "postal_code": _PERSON["zip"] + "|zip",
        "tax_id": "vat|vat id|vat number|tax number|ust id|steuernummer|numero tva|nif|cif",
    },
    "customer_users": {**_PERSON, **_TIMES},
    "agents": {**_PERSON, **_TIMES},
    "tickets": {
        **_TIMES,
        "title": "subject|summary|name|betreff|titel|sujet|objet|titre|asunto|titulo",
        "description": "body|content|message|text|details|beschreibung|inhalt|nachricht|descripcion|contenu|contenido|mensaje",
        "status": "state|ticket status|state id|status id|zustand|statut|etat|estado",
        "priority": "priority id|urgency|severity|prio|prioritat|priorite|prioridad",
        "category": "category name|ticket type|kategorie|categorie|categoria",
        "queue": "mailbox|department|group|team|queue name|group name|abteilung|gruppe|file d attente|departamento|grupo",
        "channel": "source|via|medium|kanal|canal",
        "tags": "labels|keywords|schlagworte|etiquettes|mots cles|etiquetas",
        "ticket_number": "number|ticket no|ticket num|tn|reference|ref|case number|nummer|ticketnummer|numero",
        "customer_external_id": "customer id|requester id|contact id|reporter id|client id|customer user id|submitter id|kunde id|kunden id|cliente id",
        "assigned_user_external_id": "user id|owner id|agent id|assignee|assignee id|assigned to|assigned to id|assigned id|"
        "responsible id|staff id|technician id|bearbeiter id|zugewiesen an",
        "account_external_id": _PERSON["account_external_id"],
        "created_by_external_id": "author id|creator id|created by|created by id|created by user id|opened by|autor id|erstellt von",
        "customer_name": "requester name|contact name|from name|kundenname|nom du client|nombre del cliente",
        "customer_email": "requester email|contact email|from email|kunden email|email client",
        "due_at": "due|due date|deadline|duedate|fallig am|falligkeit|echeance|date d echeance|fecha limite|vencimiento",
        "started_at": "start date|started|start|startdatum|date de debut|fecha de inicio",
        "resolved_at": "resolved|resolved on|solved at|solved on|gelost am|resolu le|resuelto",
        "closed_at": "closed|closed on|close at|close time|closed date|geschlossen am|geschlossen|ferme le|cerrado",
        "estimated_hours": "estimate|estimation|aufwand geschatzt",
    },
    "ticket_comments": {
        **_TIMES,
        "ticket_external_id": "ticket id|conversation id|issue id|case id|request id|thread of|vorgang id",
        "content": "body|text|message|comment|note|notes|description|article|inhalt|nachricht|kommentar|contenu|commentaire|contenido|comentario|mensaje",
        "author_external_id": "author id|created by user id|created by id|created by|user id|agent id|poster id|autor id",
        "author_name": "author|from name|sender name|poster|autor|auteur",
        "author_email": "from|from email|sender email|from address",
        "author_kind": "sender type|author type",
        "is_internal": "internal|private|is private|intern|privat|interne|interno",
        "parent_external_id": "parent id|reply to id|in reply to id",
        "message_id": "msgid",
    },
    "time_entries": {
        **_TIMES,
        "description": "comments|comment|note|task|activity description|work|beschreibung|tatigkeit|kommentar|commentaire|descripcion",
        "duration": "hours|minutes|seconds|time spent|spent time|spent|timespent|time unit|time units|effort|minutes spent|"
        "duration minutes|duration seconds|duration hours|time taken|dauer|stunden|minuten|duree|heures|duracion|horas|minutos",
        "started_at": "spent on|date|start|start time|started|begin|log date|work date|entry date|datum|beginn|date de debut|fecha|inicio",
        "ended_at": "end|end time|ended|stop|finished|ende|fin",
        "user_external_id": "user id|agent id|employee id|staff id|owner id|author id|member id|mitarbeiter id|created by id|created by user id",
        "ticket_external_id": "ticket id|conversation id|issue id|case id|request id|vorgang id",
        "account_external_id": _PERSON["account_external_id"] + "|customer account id",
        "billable": "is billable|chargeable|invoiceable|abrechenbar|facturable",
        "rate_override": "rate|hourly rate|rate amount|price|stundensatz|taux horaire|tarifa",
        "activity": "activity name|type|aktivitat|activite|actividad",
        "notes": "internal notes|internal note|notizen",
    },
}  # fmt: skip
# What any table of the product or of the house may call its fields.
COMMON: Mapping[str, str] = {
    **_TIMES,
    **{name: _PERSON[name] for name in ("email", "phone", "first_name", "last_name", "city", "country", "company")},
    "title": "subject|betreff|sujet|asunto",
    "description": "body|content|text|beschreibung|descripcion",
    "age": "years old|alter|edad",
    "quantity": "qty|amount|count|menge|anzahl|quantite|cantidad",
}

"""Words of the demo: people, companies and what they write to a help desk."""

from __future__ import annotations

FIRST_NAMES = (
    "Anna", "Jonas", "Mira", "Tobias", "Léa", "Søren", "Katarzyna", "Ibrahim", "Yuki", "Fernando", "Greta", "Noah",
    "Zoë", "Matteo", "Ingrid", "Pavel", "Aisha", "Lukas", "Chloé", "Hannes", "Olga", "Davide", "Emre", "Nora", "Felix",
    "Sofia", "Björn", "Marta", "Oskar", "Ines", "Viktor", "Amira", "Paul", "Helena", "Karim", "Julia", "Ruben", "Tilda",
    "Stefan", "Camille",
)  # fmt: skip
LAST_NAMES = (
    "Becker", "Nowak", "Lindqvist", "Moreau", "Öztürk", "Fischer", "Rossi", "van Dijk", "Kowalski", "Schröder", "Ng",
    "Hansen", "O'Hara", "Petrov", "García", "Weiß", "Dubois", "Keller", "Nilsson", "Haddad", "Brandt", "Costa", "Meyer",
    "Tanaka", "Vogel", "Berg", "Novák", "Sauer", "Marques", "Falk", "Lehmann", "Ricci", "Jansen", "Wolff", "Sato",
)  # fmt: skip
COMPANY_NAMES = (
    "Nordlicht Logistik", "Bäckerei Sommer", "Aurora Dental", "Kestrel Analytics", "Möller & Sons", "Tidewater Hotels",
    "Grünwald Bau", "Pine Street Books", "Helvetia Optik", "Marlow Freight", "Café Lumière", "Osterwald Energie",
    "Blue Heron Clinic", "Rheintal Druck", "Fjord Seafood", "Castell Immobilien", "Quantum Fitness", "Alder Veterinary",
    "Sandstein Architekten", "Lakeside School", "Turmalin Schmuck", "Redwood Insurance", "Hafen Museum", "Zeta Robotics",
    "Wiesengrund Hof", "Marble Arch Legal", "Atlas Reisen", "Copperfield Tools", "Eisvogel Software", "Saltmarsh Foods",
)  # fmt: skip
LEGAL_FORMS = ("GmbH", "AG", "Ltd", "Ltd.", "S.A.", "B.V.", "Inc.", "GmbH & Co. KG", "")
CITIES = (
    ("Hamburg", "HH", "20095", "DE"), ("Leipzig", "SN", "04109", "DE"), ("Basel", "BS", "4051", "CH"),
    ("Lyon", "", "69002", "FR"), ("Malmö", "", "211 34", "SE"), ("Dublin", "", "D02 X285", "IE"),
    ("Graz", "ST", "8010", "AT"), ("Utrecht", "", "3511", "NL"), ("Gdańsk", "", "80-001", "PL"),
)  # fmt: skip
JOB_TITLES = (
    "Office manager", "Head of IT", "Receptionist", "Accountant", "Owner", "Warehouse lead", "Practice manager",
    "Teacher", "Purchasing", "Managing director",
)  # fmt: skip
QUEUES = (("Support", "support"), ("Billing", "billing"), ("Field service", "field"), ("Verkauf", "verkauf"))
TAGS = (
    "vip", "printer", "network", "invoice", "waiting for parts", "on-site", "warranty", "Rückruf", "urgent?", "training",
    "backup", "phone system",
)  # fmt: skip

# Subject, what the customer writes, what the agent answers.
TOPICS = (
    ("Printer on the second floor prints blank pages",
     "since this morning our printer only produces blank pages. We have already changed the toner. Could you have a look?",
     "please open the rear cover and check whether the orange tape is still on the drum. If it is, pull it straight out."),
    ("Cannot log in to the VPN after the update",
     "after last night's update the VPN client asks for a certificate that I do not have. I need access before noon.",
     "a new certificate is waiting for you. Restart the client and confirm the prompt once; it is remembered."),
    ("Invoice {number} shows the wrong address",
     "on invoice {number} our old address is printed. Please send a corrected copy, our accounting cannot book it.",
     "the corrected invoice is attached. We changed the address in your master data as well."),
    ("Mailbox is full",
     "Outlook says that my mailbox is almost full. I cannot delete anything because I need the old messages.",
     "we moved everything before last year into your archive. It appears as a second mailbox below your own."),
    ("New colleague starts on Monday",
     "a new colleague starts on Monday and needs an account, a laptop and a telephone. She will sit in room 204.",
     "everything is prepared. The laptop will be brought to room 204 on Monday at 8:30."),
    ("Backup report: job failed",
     "the nightly report says that the backup job failed with code 0x80780119. Is there anything we should do?",
     "the system partition had too little space left for the snapshot. We enlarged it and tonight's run is watched."),
    ("Telephones are silent",
     "nobody can hear us when we call out, incoming calls work. It began when the electrician was here.",
     "one of the patch cables went into the wrong port. We shall be with you at two o'clock."),
    ("Question about the offer",
     "thank you for the offer. Does the price include installation, and how long is it valid?",
     "installation is included and the offer is valid until the end of the month."),
    ("Wi-Fi drops in the meeting room",
     "during every longer meeting the Wi-Fi in the large room drops for a minute. The other rooms are fine.",
     "the access point changed its channel whenever the radar next door was active. It now stays on a fixed one."),
    ("Scanner no longer writes to the network drive",
     "scanning to the folder Eingang fails with 'login refused'. Yesterday it still worked.",
     "the password of the scanner's account had expired. It is renewed and does not expire any more."),
    ("Website shows a certificate warning",
     "customers tell us that our website shows a warning in the browser. Can you renew whatever has run out?",
     "the certificate is renewed, and from now on this happens by itself four weeks ahead."),
    ("Zugang zum Kundenportal",
     "leider kann ich mich im Portal nicht mehr anmelden. Das Passwort habe ich schon zweimal zurückgesetzt. Grüße",
     "Ihr Zugang war nach zehn Versuchen gesperrt. Er ist wieder frei; bitte melden Sie sich heute einmal an."),
    ("Screen flickers when docked",
     "my second screen flickers as soon as the laptop is docked. With the cable directly in the laptop it is fine.",
     "this dock needs newer firmware. I installed it remotely, please unplug the power for ten seconds."),
    ("Please cancel our maintenance contract",
     "we are closing the branch in May and would like to cancel the maintenance contract for its devices.",
     "we confirm the cancellation for the end of May. The devices can be collected in the last week."),
    ("Exported list opens with strange characters",
     "when I open the exported customer list, all umlauts are broken: MÃ¼ller instead of Müller.",
     "choose 'Data, From text' and the encoding 65001 in Excel. The next version writes the mark that Excel expects."),
)  # fmt: skip
NOTES = (
    "Called, no answer. Trying again tomorrow morning.",
    "Same thing as last month at the other branch, see the cabling plan.",
    "Customer asks for a discount. @Accounting please check the volume of last year.",
    "Remote session: 25 minutes. Driver replaced, spooler restarted.",
    "Do not forget: they have the old contract, travel is charged.",
)
FOLLOW_UPS = (
    "that did not help, unfortunately. The light now blinks twice.",
    "works again, thank you very much!",
    "is there any news? We are waiting for this.",
    "I attach a photo of the label.",
    "one more question: does this also apply to the devices in the warehouse?",
)
FILES = (
    ("photo.jpg", "image/jpeg", 412_331), ("Rechnung 2024-118.pdf", "application/pdf", 88_120),
    ("screenshot 2.png", "image/png", 141_002), ("log.txt", "text/plain", 9_412), ("offer.docx", "application/msword", 51_200),
)  # fmt: skip

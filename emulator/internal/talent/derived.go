package talent

import (
	"slices"
	"strings"
	"unicode"
)

// derive returns a job's derivedInfo: "Structured locations of the job, resolved
// from Job.addresses. locations are exactly matched to Job.addresses in the
// same order", and "Job categories derived from Job.title and
// Job.description".
func derive(fields Object) Object {
	derived := Object{}
	var locations []any
	for _, address := range texts(fields, "addresses") {
		locations = append(locations, resolveAddress(address).object())
	}
	if locations != nil {
		derived["locations"] = locations
	}
	if categories := categoriesOf(fields); len(categories) > 0 {
		derived["jobCategories"] = categories
	}
	return derived
}

// categoriesOf guesses categories from words of the title or, if none fits, of the
// description. The service has a better classifier.
func categoriesOf(fields Object) []any {
	for _, source := range []string{text(fields, "title"), plainText(text(fields, "description"))} {
		words := wordsOf(source)
		var found []any
		for _, c := range categoryWords {
			if slices.ContainsFunc(c.words, func(w string) bool { return slices.Contains(words, w) }) {
				found = append(found, c.category)
			}
		}
		if found != nil {
			const most = 3
			return found[:min(len(found), most)]
		}
	}
	return nil
}

// wordsOf returns the words of a text in lower case. The signs of C++, C# and .NET
// belong to words.
func wordsOf(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '+' && r != '#'
	})
}

var categoryWords = []struct {
	category string
	words    []string
}{
	{"ACCOUNTING_AND_FINANCE", []string{"accountant", "accounting", "auditor", "banker", "bookkeeper", "controller", "finance", "financial", "payroll", "tax", "buchhalter"}},
	{"ADMINISTRATIVE_AND_OFFICE", []string{"administrative", "assistant", "clerk", "office", "receptionist", "secretary"}},
	{"ADVERTISING_AND_MARKETING", []string{"advertising", "brand", "campaign", "marketing", "seo"}},
	{"ANIMAL_CARE", []string{"animal", "groomer", "veterinarian", "veterinary", "zookeeper"}},
	{"ART_FASHION_AND_DESIGN", []string{"artist", "designer", "fashion", "illustrator", "stylist", "ux"}},
	{"BUSINESS_OPERATIONS", []string{"analyst", "business", "consultant", "operations", "strategy"}},
	{"CLEANING_AND_FACILITIES", []string{"cleaner", "cleaning", "custodian", "facilities", "housekeeper", "janitor"}},
	{"COMPUTER_AND_IT", []string{"backend", "computer", "data", "developer", "devops", "frontend", "it", "programmer", "software", "sre", "sysadmin", "web", "entwickler", "informatiker"}},
	{"CONSTRUCTION", []string{"bricklayer", "carpenter", "construction", "mason", "plasterer", "roofer"}},
	{"CUSTOMER_SERVICE", []string{"cashier", "customer", "helpdesk", "support"}},
	{"EDUCATION", []string{"education", "instructor", "lecturer", "professor", "school", "teacher", "tutor", "lehrer"}},
	{"ENTERTAINMENT_AND_TRAVEL", []string{"actor", "casino", "entertainer", "musician", "tourism", "travel"}},
	{"FARMING_AND_OUTDOORS", []string{"agriculture", "farm", "farmer", "forestry", "gardener", "landscaper"}},
	{"HEALTHCARE", []string{"caregiver", "dentist", "doctor", "healthcare", "medical", "nurse", "pharmacist", "physician", "therapist", "pfleger"}},
	{"HUMAN_RESOURCES", []string{"hr", "recruiter", "recruiting", "talent"}},
	{"INSTALLATION_MAINTENANCE_AND_REPAIR", []string{"electrician", "installer", "maintenance", "mechanic", "plumber", "repair", "technician"}},
	{"LEGAL", []string{"attorney", "counsel", "lawyer", "legal", "paralegal"}},
	{"MANAGEMENT", []string{"chief", "director", "head", "manager", "president", "supervisor"}},
	{"MANUFACTURING_AND_WAREHOUSE", []string{"assembler", "machinist", "manufacturing", "picker", "production", "warehouse", "welder"}},
	{"MEDIA_COMMUNICATIONS_AND_WRITING", []string{"communications", "editor", "journalist", "media", "translator", "writer"}},
	{"OIL_GAS_AND_MINING", []string{"drilling", "gas", "miner", "mining", "oil", "rig"}},
	{"PERSONAL_CARE_AND_SERVICES", []string{"barber", "beautician", "hairdresser", "nanny"}},
	{"PROTECTIVE_SERVICES", []string{"firefighter", "guard", "officer", "police"}},
	{"REAL_ESTATE", []string{"estate", "leasing", "realtor"}},
	{"RESTAURANT_AND_HOSPITALITY", []string{"barista", "bartender", "chef", "cook", "dishwasher", "hotel", "restaurant", "waiter", "waitress"}},
	{"SALES_AND_RETAIL", []string{"merchandiser", "retail", "sales", "salesperson", "store"}},
	{"SCIENCE_AND_ENGINEERING", []string{"biologist", "chemist", "engineer", "engineering", "physicist", "researcher", "scientist", "ingenieur"}},
	{"SOCIAL_SERVICES_AND_NON_PROFIT", []string{"charity", "counselor", "nonprofit", "social"}},
	{"SPORTS_FITNESS_AND_RECREATION", []string{"athlete", "coach", "fitness", "lifeguard", "trainer", "yoga"}},
	{"TRANSPORTATION_AND_LOGISTICS", []string{"courier", "delivery", "dispatcher", "driver", "logistics", "pilot", "truck"}},
}

// The value of a record for v4 of the API, generated from client-event.v4.json.

export type JobName = `projects/${string}/tenants/${string}/jobs/${string}`;

export interface ClientEvent {
  /** When the event happened: RFC 3339 with Z or an offset, at most nine digits of a second's fraction. */
  createTime: string;
  /** The event's identity, chosen by its producer: an id is reported once. */
  eventId: string;
  /** Free text from recruiters or seekers. */
  eventNotes?: string | null;
  /** Free text by key: at most 20 keys, and at most 2,048 bytes of UTF-8 in all keys and values together. */
  extraInfo?: Record<string, string> | null;
  /** The step and its jobs. */
  jobEvent: {
    /** The resource names of the jobs concerned: of an IMPRESSION all that were shown, of a VIEW the one viewed. */
    jobs: [JobName, ...JobName[]];
    /** The kind of step in the journey. */
    type:
      | "IMPRESSION"
      | "VIEW"
      | "VIEW_REDIRECT"
      | "APPLICATION_START"
      | "APPLICATION_FINISH"
      | "APPLICATION_QUICK_SUBMISSION"
      | "APPLICATION_REDIRECT"
      | "APPLICATION_START_FROM_SEARCH"
      | "APPLICATION_REDIRECT_FROM_SEARCH"
      | "APPLICATION_COMPANY_SUBMIT"
      | "BOOKMARK"
      | "NOTIFICATION"
      | "HIRED"
      | "SENT_CV"
      | "INTERVIEW_GRANTED";
  };
  /** The eventId of the event that led to this one. It differs from eventId. */
  parentEventId?: string | null;
  /** metadata.requestId of the search response that the journey began with. The service discards events without it. */
  requestId: string;
}

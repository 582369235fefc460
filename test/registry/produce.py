"""Writes records with Confluent's serializers: one line of "FORMAT BASE64" each.

usage: produce.py URL, the base of a registry's API
"""

import base64
import datetime
import decimal
import sys

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

client = SchemaRegistryClient({"url": sys.argv[1]})


def write(name, serializer, value):
    data = serializer(value, SerializationContext(name, MessageField.VALUE))
    print(name, base64.b64encode(data).decode())


client.register_schema("avro-job", Schema(
    '{"type":"record","name":"Job","namespace":"c","fields":[{"name":"id","type":"string"}]}', "AVRO"))
avro = Schema("""{"type":"record","name":"Viewed","namespace":"c","fields":[
  {"name":"id","type":"long"},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
  {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":20,"scale":2}},
  {"name":"user","type":["null","string"]},
  {"name":"job","type":"c.Job"}]}""", "AVRO", [SchemaReference("c.Job", "avro-job", 1)])
write("avro", AvroSerializer(client, avro), {
    "id": 9223372036854775807,
    "at": datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc),
    "price": decimal.Decimal("-123456789012345678.90"),
    "user": "u-1",
    "job": {"id": "j1"},
})

json = Schema('{"title":"Viewed","type":"object","properties":{"id":{"type":"integer"},"job":{"type":"string"}},"required":["id"]}', "JSON")
write("json-schema", JSONSerializer(json.schema_str, client), {"id": 7, "job": "j1"})

# The second message of the file, and a message nested in it.
file = descriptor_pb2.FileDescriptorProto(name="viewed.proto", package="shop", syntax="proto3",
                                          dependency=["google/protobuf/timestamp.proto"])
file.message_type.add(name="Other")
viewed = file.message_type.add(name="Viewed")
field = descriptor_pb2.FieldDescriptorProto
viewed.field.add(name="user_id", number=1, type=field.TYPE_INT64, label=field.LABEL_OPTIONAL)
viewed.field.add(name="at", number=2, type=field.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp", label=field.LABEL_OPTIONAL)
nested = viewed.nested_type.add(name="Inner")
nested.field.add(name="jobs", number=1, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
pool = descriptor_pool.Default()
pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())


def message(name):
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


options = {"use.deprecated.format": False}
value = message("shop.Viewed")(user_id=9223372036854775807, at=timestamp_pb2.Timestamp(seconds=1767323045))
write("protobuf", ProtobufSerializer(message("shop.Viewed"), client, options), value)
write("protobuf", ProtobufSerializer(message("shop.Viewed.Inner"), client, options), message("shop.Viewed.Inner")(jobs=["j1", "j2"]))

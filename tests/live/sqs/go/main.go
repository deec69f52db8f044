// Calls the operations of SQS by the SDK for Go, and prints what each gives: calls ENDPOINT.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

var ctx = context.Background()

// must returns a value, or ends the program if there is an error.
func must[T any](value T, err error) T {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return value
}

func newClient(more ...func(*config.LoadOptions) error) *sqs.Client {
	given := append(more, config.WithRegion("us-east-1"), config.WithRetryMaxAttempts(1))
	cfg := must(config.LoadDefaultConfig(ctx, given...))
	return sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.BaseEndpoint = aws.String(os.Args[1]) })
}

func receive(client *sqs.Client, url string, limit, wait int32) []types.Message {
	return must(client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &url,
		MaxNumberOfMessages:         limit,
		WaitTimeSeconds:             wait,
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})).Messages
}

// receiveAll receives until so many have come, or nothing comes for a while: a receive may give some of them.
func receiveAll(client *sqs.Client, url string, count int) (found []types.Message) {
	for len(found) < count {
		more := receive(client, url, 10, 5)
		if len(more) == 0 {
			break
		}
		found = append(found, more...)
	}
	return found
}

// fails prints the code of an error, and whether it has the class T.
func fails[T error](err error) {
	var class T
	var known smithy.APIError
	if !errors.As(err, &known) {
		fmt.Println("no error of the API:", err)
		return
	}
	fmt.Println("error", known.ErrorCode(), errors.As(err, &class))
}

// failsWithoutClass prints the code of an error of which the SDK has no class.
func failsWithoutClass(err error) {
	var known smithy.APIError
	if !errors.As(err, &known) {
		fmt.Println("no error of the API:", err)
		return
	}
	fmt.Println("error", known.ErrorCode(), "none")
}

func number(text *string) *big.Int {
	found, _ := new(big.Int).SetString(aws.ToString(text), 10)
	return found
}

func main() {
	client := newClient()
	message(client)
	ordered(client)
	queues := must(client.ListQueues(ctx, &sqs.ListQueuesInput{}))
	fmt.Println("queues", len(queues.QueueUrls))
}

// message is about a message, batches and errors.
func message(client *sqs.Client) {
	made := must(client.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: aws.String("calls"), Attributes: map[string]string{"VisibilityTimeout": "60"},
	}))
	url := made.QueueUrl
	found := must(client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("calls")}))
	listed := must(client.ListQueues(ctx, &sqs.ListQueuesInput{QueueNamePrefix: aws.String("calls")}))
	fmt.Println("queue", *found.QueueUrl == *url, len(listed.QueueUrls))
	sent := must(client.SendMessage(ctx, &sqs.SendMessageInput{
		QueueUrl: url, MessageBody: aws.String("grüezi <&> \U0001f600"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"city":  {DataType: aws.String("String"), StringValue: aws.String("Zürich")},
			"count": {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
			"raw":   {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
		},
	}))
	first := receive(client, *url, 10, 5)[0]
	some := first.MessageAttributes
	raw := strings.Trim(strings.ReplaceAll(fmt.Sprint(some["raw"].BinaryValue), " ", ","), "[]")
	fmt.Println("received", *first.MessageId == *sent.MessageId, *first.Body,
		*some["city"].StringValue, *some["count"].StringValue, raw)
	fmt.Println("times", first.Attributes["ApproximateReceiveCount"],
		*first.MD5OfMessageAttributes == *sent.MD5OfMessageAttributes)
	fmt.Println("hidden", len(receive(client, *url, 10, 0)))
	must(client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: url, ReceiptHandle: first.ReceiptHandle, VisibilityTimeout: 0,
	}))
	second := receive(client, *url, 10, 5)[0]
	fmt.Println("visible", *second.MessageId == *sent.MessageId, second.Attributes["ApproximateReceiveCount"])
	for range 2 {
		must(client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: second.ReceiptHandle}))
	}
	fmt.Println("deleted", len(receive(client, *url, 10, 0)))
	batches(client, url)
	mistakes(client, url, second.ReceiptHandle)
	must(client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url}))
}

// batches is about batches, of which one entry fails.
func batches(client *sqs.Client, url *string) {
	var entries []types.SendMessageBatchRequestEntry
	for n := range 3 {
		entries = append(entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(fmt.Sprint("e", n)), MessageBody: aws.String(fmt.Sprint("m", n)),
		})
	}
	entries[1].DelaySeconds = 901
	batch := must(client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries}))
	fmt.Println("batch", *batch.Successful[0].Id, *batch.Successful[1].Id)
	for _, one := range batch.Failed {
		fmt.Println("failed", *one.Id, *one.Code, one.SenderFault)
	}
	var bodies []string
	var longer []types.ChangeMessageVisibilityBatchRequestEntry
	var gone []types.DeleteMessageBatchRequestEntry
	for n, one := range receiveAll(client, *url, 2) {
		id := aws.String(fmt.Sprint("h", n))
		bodies = append(bodies, *one.Body)
		longer = append(longer, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: id, ReceiptHandle: one.ReceiptHandle, VisibilityTimeout: 90,
		})
		gone = append(gone, types.DeleteMessageBatchRequestEntry{Id: id, ReceiptHandle: one.ReceiptHandle})
	}
	sort.Strings(bodies)
	fmt.Println("bodies", strings.Join(bodies, " "))
	extended := must(client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: url, Entries: longer,
	}))
	fmt.Println("extended", len(extended.Successful), len(extended.Failed))
	gone = append(gone, types.DeleteMessageBatchRequestEntry{Id: aws.String("x"), ReceiptHandle: aws.String("x")})
	removed := must(client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: gone}))
	fmt.Println("removed", len(removed.Successful), *removed.Failed[0].Id, *removed.Failed[0].Code)
	told := must(client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"},
	})).Attributes
	left := 0
	for _, name := range []string{"", "NotVisible", "Delayed"} {
		left += must(strconv.Atoi(told["ApproximateNumberOfMessages"+name]))
	}
	fmt.Println("left", left, told["VisibilityTimeout"])
}

// ordered is about a FIFO queue: order, deduplication, and a group that waits for its first message.
func ordered(client *sqs.Client) {
	made := must(client.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName:  aws.String("calls.fifo"),
		Attributes: map[string]string{"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "60"},
	}))
	url := made.QueueUrl
	var numbers []*big.Int
	for _, body := range []string{"A0", "A1", "B0", "A0"} {
		one := must(client.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String(body), MessageGroupId: aws.String(body[:1]),
		}))
		numbers = append(numbers, number(one.SequenceNumber))
	}
	fmt.Println("numbers", numbers[0].Cmp(numbers[1]) < 0 && numbers[1].Cmp(numbers[2]) < 0,
		numbers[3].Cmp(numbers[0]) == 0)
	head := receive(client, *url, 1, 0)[0]
	words := []string{"order", *head.Body}
	for _, one := range receive(client, *url, 10, 0) {
		words = append(words, *one.Body)
	}
	fmt.Println(strings.Join(words, " "))
	must(client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: head.ReceiptHandle}))
	next := receive(client, *url, 10, 0)[0]
	rank := next.Attributes["SequenceNumber"]
	fmt.Println("next", *next.Body, next.Attributes["MessageGroupId"], number(&rank).Cmp(numbers[1]) == 0)
	_, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")})
	failsWithoutClass(err)
	must(client.PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: url}))
	must(client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url}))
}

// mistakes is about errors: their classes and codes.
func mistakes(client *sqs.Client, url, handle *string) {
	_, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("none")})
	fails[*types.QueueDoesNotExist](err)
	create := func(name, attribute, value string) error {
		_, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{
			QueueName: &name, Attributes: map[string]string{attribute: value},
		})
		return err
	}
	fails[*types.QueueNameExists](create("calls", "VisibilityTimeout", "61"))
	fails[*types.InvalidAttributeName](create("other", "Colour", "red"))
	fails[*types.InvalidAttributeValue](create("other", "DelaySeconds", "901"))
	_, err = client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: aws.String("x")})
	fails[*types.ReceiptHandleIsInvalid](err)
	_, err = client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: url, ReceiptHandle: handle, VisibilityTimeout: 5,
	})
	failsWithoutClass(err)
	_, err = client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("\u0001")})
	fails[*types.InvalidMessageContents](err)
	send := func(ids ...string) error {
		entries := []types.SendMessageBatchRequestEntry{}
		for _, id := range ids {
			entries = append(entries, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: aws.String("x")})
		}
		_, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
		return err
	}
	fails[*types.EmptyBatchRequest](send())
	fails[*types.BatchEntryIdsNotDistinct](send("x", "x"))
	fails[*types.TooManyEntriesInBatchRequest](send(strings.Split("abcdefghijk", "")...))
	_, err = client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 11})
	failsWithoutClass(err)
	for _, pair := range [][2]string{{os.Getenv("AWS_ACCESS_KEY_ID"), "false"}, {"AKIAIOSFODNN7EXAMPLE", "x"}} {
		provider := credentials.NewStaticCredentialsProvider(pair[0], pair[1], "")
		_, err := newClient(config.WithCredentialsProvider(provider)).ListQueues(ctx, &sqs.ListQueuesInput{})
		failsWithoutClass(err)
	}
}

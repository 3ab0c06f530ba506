# A VPC with two subnets, a Multi-AZ PostgreSQL, a DynamoDB table and an S3 bucket. `revision` changes attributes of each.
terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "endpoint" {
  type = string
}

variable "revision" {
  type    = number
  default = 1
}

provider "aws" {
  region                      = "us-east-1"
  access_key                  = "test"
  secret_key                  = "test"
  s3_use_path_style           = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = false
  skip_credentials_validation = false
  max_retries                 = 2

  endpoints {
    dynamodb = var.endpoint
    ec2      = var.endpoint
    rds      = var.endpoint
    s3       = var.endpoint
    sts      = var.endpoint
  }
}

resource "aws_vpc" "shop" {
  cidr_block           = "10.20.0.0/16"
  enable_dns_hostnames = true
  tags = {
    Name     = "shop"
    Revision = tostring(var.revision)
  }
}

resource "aws_subnet" "shop" {
  for_each          = { "us-east-1a" = "10.20.0.0/24", "us-east-1b" = "10.20.1.0/24" }
  vpc_id            = aws_vpc.shop.id
  availability_zone = each.key
  cidr_block        = each.value
}

resource "aws_internet_gateway" "shop" {
  vpc_id = aws_vpc.shop.id
}

resource "aws_route_table" "shop" {
  vpc_id = aws_vpc.shop.id
  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.shop.id
  }
}

resource "aws_route_table_association" "shop" {
  for_each       = aws_subnet.shop
  subnet_id      = each.value.id
  route_table_id = aws_route_table.shop.id
}

resource "aws_security_group" "database" {
  name        = "shop-database"
  description = "PostgreSQL from inside the VPC"
  vpc_id      = aws_vpc.shop.id

  ingress {
    from_port   = 5432
    to_port     = 5432
    protocol    = "tcp"
    cidr_blocks = var.revision == 1 ? ["10.20.0.0/16"] : ["10.20.0.0/24", "10.20.1.0/24"]
  }

  egress {
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_db_subnet_group" "shop" {
  name       = "shop"
  subnet_ids = [for subnet in aws_subnet.shop : subnet.id]
}

resource "aws_db_instance" "orders" {
  identifier              = "orders"
  engine                  = "postgres"
  instance_class          = var.revision == 1 ? "db.t3.micro" : "db.t3.small"
  allocated_storage       = 20
  db_name                 = "orders"
  username                = "shop"
  password                = "correct-horse-battery"
  multi_az                = true
  db_subnet_group_name    = aws_db_subnet_group.shop.name
  vpc_security_group_ids  = [aws_security_group.database.id]
  backup_retention_period = 0
  skip_final_snapshot     = true
  apply_immediately       = true
}

resource "aws_dynamodb_table" "carts" {
  name         = "carts"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "customer"
  range_key    = "cart"

  attribute {
    name = "customer"
    type = "S"
  }

  attribute {
    name = "cart"
    type = "S"
  }

  dynamic "attribute" {
    for_each = var.revision == 1 ? [] : [1]
    content {
      name = "status"
      type = "S"
    }
  }

  dynamic "global_secondary_index" {
    for_each = var.revision == 1 ? [] : [1]
    content {
      name            = "by-status"
      hash_key        = "status"
      projection_type = "ALL"
    }
  }

  ttl {
    attribute_name = "expires"
    enabled        = true
  }
}

resource "aws_s3_bucket" "receipts" {
  bucket        = "shop-receipts"
  force_destroy = true
}

resource "aws_s3_bucket_versioning" "receipts" {
  bucket = aws_s3_bucket.receipts.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "receipts" {
  bucket = aws_s3_bucket.receipts.id
  rule {
    id     = "expire"
    status = "Enabled"
    filter {
      prefix = "drafts/"
    }
    expiration {
      days = 7 * var.revision
    }
  }
}

resource "aws_s3_object" "readme" {
  bucket  = aws_s3_bucket_versioning.receipts.bucket
  key     = "readme.txt"
  content = "revision ${var.revision}"
}
